//! What can go wrong, sorted by what the caller should do about it.
//!
//! Policy: the class is chosen by librdkafka's error code, in the one table below, and never by its text. The text
//! names the cause; it is written for the person who reads the log, and holds neither secrets nor personal data.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What the caller should do; each class is an exception in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// No broker can be reached. Try later.
    Connection,
    /// The deadline passed. Try later.
    Timeout,
    /// The local queue stayed full up to the deadline. Try later, or more slowly.
    QueueFull,
    /// The event is larger than the client or the broker allows. Fix it.
    MessageTooLarge,
    /// The topic does not exist and is not created by itself. Fix it.
    UnknownTopic,
    /// The broker knows the client and refuses. Fix it.
    Authorization,
    /// The broker does not accept the credentials. Fix it.
    Authentication,
    /// The configuration cannot work. Fix it.
    Configuration,
    /// The producer is closed. Start again.
    Closed,
    /// librdkafka gave the client up, and a new one is built. Try again.
    Fatal,
    /// Anything else.
    Other,
}

impl Class {
    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 11] = [
        Self::Connection,
        Self::Timeout,
        Self::QueueFull,
        Self::MessageTooLarge,
        Self::UnknownTopic,
        Self::Authorization,
        Self::Authentication,
        Self::Configuration,
        Self::Closed,
        Self::Fatal,
        Self::Other,
    ];
}

/// A failure on its way to the caller.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Whether the event may be stored in spite of the failure.
    pub(crate) maybe_delivered: bool,
    /// What happened, to which thing, and what to do next.
    pub(crate) message: String,
}

impl Failure {
    /// A failure of an event that certainly is not stored.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, maybe_delivered: false, message: message.into() }
    }

    /// Whether a probe may find that the cause is gone: the topic exists by now, or the right is granted.
    pub(crate) fn may_pass_with_a_probe(&self) -> bool {
        matches!(self.kind.class, Class::UnknownTopic | Class::Authorization | Class::Fatal)
    }

    /// The same failure of an event that may be stored.
    #[must_use]
    pub(crate) fn maybe_delivered(mut self, maybe: bool) -> Self {
        self.maybe_delivered = maybe;
        self
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) class: Class,
    /// Kafka's name of the error (<https://kafka.apache.org/protocol#protocol_error_codes>).
    pub(crate) code: &'static str,
    /// Whether trying again may help.
    pub(crate) retriable: bool,
}

impl Kind {
    /// The deadline of a publish passed.
    pub(crate) const TIMEOUT: Self = Self::retriable(Class::Timeout, "REQUEST_TIMED_OUT");
    /// No broker answers.
    pub(crate) const NETWORK: Self = Self::retriable(Class::Connection, "NETWORK_EXCEPTION");
    /// No space in the local queue.
    pub(crate) const QUEUE_FULL: Self = Self::retriable(Class::QueueFull, "QUEUE_FULL");
    /// The configuration is refused.
    pub(crate) const CONFIGURATION: Self = Self::lasting(Class::Configuration, "INVALID_CONFIG");
    /// The producer is closed.
    pub(crate) const CLOSED: Self = Self::lasting(Class::Closed, "PRODUCER_CLOSED");
    /// librdkafka gave the client up.
    pub(crate) const FATAL: Self = Self::retriable(Class::Fatal, "PRODUCER_FATAL");
    /// The TLS handshake failed: no trust in a certificate, or no TLS at all.
    pub(crate) const TLS: Self = Self::retriable(Class::Connection, "SSL_HANDSHAKE_FAILED");

    const fn retriable(class: Class, code: &'static str) -> Self {
        Self { class, code, retriable: true }
    }

    const fn lasting(class: Class, code: &'static str) -> Self {
        Self { class, code, retriable: false }
    }

    /// Whether somebody has to mend something before another attempt can succeed.
    pub(crate) fn needs_a_fix(self) -> bool {
        self == Self::TLS || self.class == Class::Authentication
    }

    /// What a fatal error of the client means for its events, by the code of its cause.
    pub(crate) fn of_fatal(cause: Code) -> Self {
        match Self::of(cause) {
            kind if matches!(kind.class, Class::Authorization | Class::Authentication | Class::Configuration) => kind,
            kind if kind.class == Class::Fatal => kind,
            _ => Self::FATAL,
        }
    }

    /// The row of a librdkafka error code.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitCache => Self::TIMEOUT,
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NodeUpdate
            | Code::NetworkException => Self::NETWORK,
            Code::SSL => Self::TLS,
            Code::QueueFull => Self::QUEUE_FULL,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
                Self::lasting(Class::MessageTooLarge, "MESSAGE_TOO_LARGE")
            }
            Code::MessageBatchTooLarge => Self::lasting(Class::MessageTooLarge, "RECORD_LIST_TOO_LARGE"),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                Self::lasting(Class::UnknownTopic, "UNKNOWN_TOPIC_OR_PARTITION")
            }
            Code::InvalidTopic => Self::lasting(Class::UnknownTopic, "INVALID_TOPIC_EXCEPTION"),
            Code::TopicAuthorizationFailed => Self::lasting(Class::Authorization, "TOPIC_AUTHORIZATION_FAILED"),
            Code::ClusterAuthorizationFailed => Self::lasting(Class::Authorization, "CLUSTER_AUTHORIZATION_FAILED"),
            Code::GroupAuthorizationFailed => Self::lasting(Class::Authorization, "GROUP_AUTHORIZATION_FAILED"),
            Code::TransactionalIdAuthorizationFailed => {
                Self::lasting(Class::Authorization, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
            }
            Code::Authentication | Code::SaslAuthenticationFailed => {
                Self::lasting(Class::Authentication, "SASL_AUTHENTICATION_FAILED")
            }
            Code::UnsupportedSASLMechanism => Self::lasting(Class::Authentication, "UNSUPPORTED_SASL_MECHANISM"),
            Code::InvalidArgument | Code::InvalidConfig | Code::UnsupportedFeature => Self::CONFIGURATION,
            Code::PurgeQueue | Code::PurgeInflight | Code::BrokerDestroy => Self::CLOSED,
            Code::Fatal => Self::FATAL,
            Code::InvalidProducerEpoch => Self::retriable(Class::Fatal, "INVALID_PRODUCER_EPOCH"),
            Code::OutOfOrderSequenceNumber => Self::retriable(Class::Fatal, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
            Code::UnknownProducerId => Self::retriable(Class::Fatal, "UNKNOWN_PRODUCER_ID"),
            Code::ProducerFenced => Self::retriable(Class::Fatal, "PRODUCER_FENCED"),
            Code::NotLeaderForPartition => Self::retriable(Class::Other, "NOT_LEADER_OR_FOLLOWER"),
            Code::LeaderNotAvailable => Self::retriable(Class::Other, "LEADER_NOT_AVAILABLE"),
            Code::BrokerNotAvailable => Self::retriable(Class::Other, "BROKER_NOT_AVAILABLE"),
            Code::ReplicaNotAvailable => Self::retriable(Class::Other, "REPLICA_NOT_AVAILABLE"),
            Code::NotEnoughReplicas => Self::retriable(Class::Other, "NOT_ENOUGH_REPLICAS"),
            Code::NotEnoughReplicasAfterAppend => Self::retriable(Class::Other, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
            Code::KafkaStorageError => Self::retriable(Class::Other, "KAFKA_STORAGE_ERROR"),
            Code::ThrottlingQuotaExceeded => Self::retriable(Class::Other, "THROTTLING_QUOTA_EXCEEDED"),
            Code::PolicyViolation => Self::lasting(Class::Other, "POLICY_VIOLATION"),
            Code::InvalidRecord => Self::lasting(Class::Other, "INVALID_RECORD"),
            Code::InvalidMessage => Self::retriable(Class::Other, "CORRUPT_MESSAGE"),
            Code::InvalidTimestamp => Self::lasting(Class::Other, "INVALID_TIMESTAMP"),
            Code::InvalidRequiredAcks => Self::lasting(Class::Configuration, "INVALID_REQUIRED_ACKS"),
            Code::UnsupportedForMessageFormat => Self::lasting(Class::Other, "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
            Code::UnsupportedCompressionType => Self::lasting(Class::Configuration, "UNSUPPORTED_COMPRESSION_TYPE"),
            _ => Self::lasting(Class::Other, "UNKNOWN_SERVER_ERROR"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_error_is_what_its_cause_says_if_somebody_has_to_act() {
        assert_eq!(Kind::of_fatal(Code::ClusterAuthorizationFailed).class, Class::Authorization);
        assert_eq!(Kind::of_fatal(Code::UnsupportedFeature).class, Class::Configuration);
        assert_eq!(Kind::of_fatal(Code::OutOfOrderSequenceNumber).code, "OUT_OF_ORDER_SEQUENCE_NUMBER");
        assert_eq!(Kind::of_fatal(Code::RequestTimedOut), Kind::FATAL);
    }

    #[test]
    fn wrong_credentials_and_no_trust_need_a_fix() {
        assert!(Kind::of(Code::SSL).needs_a_fix() && Kind::of(Code::SaslAuthenticationFailed).needs_a_fix());
        assert!(!Kind::NETWORK.needs_a_fix() && !Kind::TIMEOUT.needs_a_fix());
    }

    #[test]
    fn every_class_stands_at_its_number() {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
        }
    }
}
