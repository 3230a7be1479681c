//! The log lines about a cluster that does not answer: one at once, one every 30 s with a count, one at the end.

use std::time::{Duration, Instant};

use super::log_line::{Level, LogEvent, LogLine};

/// Pause between two lines about the same trouble.
pub(crate) const REPEAT: Duration = Duration::from_secs(30);

/// An outage, from its first sign to the recovery.
#[derive(Default)]
pub(crate) struct Outage {
    began: Option<Instant>,
    logged: Option<Instant>,
    probes: u64,
}

impl Outage {
    /// Something else was logged about the trouble that begins here, and is repeated.
    pub(crate) fn begins(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.logged.get_or_insert(now);
    }

    /// The cluster did not answer a probe; returns a line when one is due.
    pub(crate) fn continues(&mut self, cause: &str, now: Instant) -> Option<LogLine> {
        let began = *self.began.get_or_insert(now);
        self.probes += 1;
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < REPEAT) {
            return None;
        }
        let message = if self.logged.replace(now).is_none() {
            format!("Kafka is out of reach: {cause}")
        } else {
            let (probes, seconds) = (self.probes, now.saturating_duration_since(began).as_secs());
            format!("Kafka is still out of reach after {seconds} s and {probes} probes: {cause}")
        };
        Some(LogLine::new(Level::Error, LogEvent::KafkaUnreachable, message))
    }

    /// The cluster answers; returns a line if it did not before.
    pub(crate) fn ends(&mut self, now: Instant) -> Option<LogLine> {
        let lasted = now.saturating_duration_since(std::mem::take(self).began?);
        let message = format!("Kafka has recovered: it is reachable again after {:.1} s", lasted.as_secs_f64());
        Some(LogLine::new(Level::Info, LogEvent::KafkaRecovered, message))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_at_once_then_every_30_s_with_a_count_and_when_it_ends() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!(outage.ends(began), None);
        assert_eq!(outage.continues("refused", began).unwrap().message, "Kafka is out of reach: refused");
        assert!((1..30).all(|second| outage.continues("refused", at(second)).is_none()));
        let repeated = outage.continues("refused", at(30)).unwrap();
        assert_eq!(repeated.message, "Kafka is still out of reach after 30 s and 31 probes: refused");
        let ended = outage.ends(at(42)).unwrap();
        assert_eq!(ended.message, "Kafka has recovered: it is reachable again after 42.0 s");
        assert_eq!((ended.level.number(), ended.event.name()), (20, "kafka_recovered"));
        assert_eq!(outage.ends(at(43)), None);
    }
}
