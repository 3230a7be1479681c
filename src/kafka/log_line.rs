//! Lines for the application's log. Native threads make them, and Python writes them on an event loop.

/// Severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// librdkafka's own log.
    Debug,
    /// Life cycle.
    Info,
    /// Something does not work.
    Error,
}

impl Level {
    /// The number that Python's `logging` has for it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Debug => 10,
            Self::Info => 20,
            Self::Error => 40,
        }
    }
}

/// What a line is about. Applications filter by its name, so names stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEvent {
    KafkaUnreachable,
    KafkaRecovered,
    ProducerRebuilt,
    ProducerLost,
    /// An event whose result nobody asked for.
    PublishFailed,
    Librdkafka,
}

impl LogEvent {
    pub(crate) const ALL: [Self; 6] = [
        Self::KafkaUnreachable,
        Self::KafkaRecovered,
        Self::ProducerRebuilt,
        Self::ProducerLost,
        Self::PublishFailed,
        Self::Librdkafka,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KafkaUnreachable => "kafka_unreachable",
            Self::KafkaRecovered => "kafka_recovered",
            Self::ProducerRebuilt => "producer_rebuilt",
            Self::ProducerLost => "producer_lost",
            Self::PublishFailed => "publish_failed",
            Self::Librdkafka => "librdkafka",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) level: Level,
    pub(crate) event: LogEvent,
    pub(crate) message: String,
}

impl LogLine {
    pub(crate) fn new(level: Level, event: LogEvent, message: impl Into<String>) -> Self {
        Self { level, event, message: message.into() }
    }
}
