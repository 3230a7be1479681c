//! What is wrong with each broker, as far as librdkafka reported it: the *why* behind a timeout.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::failure::{Class, Failure, Kind};
use super::librdkafka::Code;

/// Brokers whose errors are kept; more would make an error text unreadable.
const MAX_BROKERS: usize = 8;
/// Longest error in characters.
const MAX_LENGTH: usize = 300;
/// librdkafka repeats the error of a broker every 30 s; an error that it does not repeat is over.
const LIFETIME: Duration = Duration::from_secs(35);

/// The last error of each broker that has one.
pub(crate) struct BrokerErrors {
    secrets: Vec<String>,
    errors: Mutex<BTreeMap<String, BrokerError>>,
}

struct BrokerError {
    kind: Kind,
    /// The broker's number, once librdkafka has named it; before, it names a bootstrap address.
    number: Option<i32>,
    text: String,
    reported: Instant,
}

impl BrokerErrors {
    /// No errors yet. No text will ever contain one of `secrets`, the longest of which come first.
    pub(crate) fn new(secrets: Vec<String>) -> Self {
        Self { secrets, errors: Mutex::default() }
    }

    /// Keeps an error of librdkafka, whose text begins with the broker's name.
    pub(crate) fn note(&self, code: Code, reason: &str, now: Instant) {
        // Each broker's own error follows and says more.
        if code == Code::AllBrokersDown {
            return;
        }
        let text = self.scrub(reason);
        let mut errors = self.errors.lock();
        errors.retain(|_, error| error.is_current(now));
        let broker = broker_of(&text).to_owned();
        if errors.len() < MAX_BROKERS || errors.contains_key(&broker) {
            let known = errors.get(&broker).and_then(|error| error.number);
            let number = number_of(&text).or(known);
            errors.insert(broker, BrokerError { kind: Kind::of(code), number, text, reported: now });
        }
    }

    pub(crate) fn clear(&self) {
        self.errors.lock().clear();
    }

    /// Drops the errors of the broker with this number.
    pub(crate) fn forget(&self, broker: i32) {
        self.errors.lock().retain(|_, error| error.number != Some(broker));
    }

    /// The errors that librdkafka still repeats, one for each broker.
    pub(crate) fn text(&self, now: Instant) -> Option<String> {
        let errors = self.errors.lock();
        let current = errors.values().filter(|error| error.is_current(now));
        let texts: Vec<&str> = current.map(|error| error.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// Whether one of the errors is about the broker with this number.
    pub(crate) fn concern(&self, broker: i32, now: Instant) -> bool {
        self.errors.lock().values().any(|error| error.is_current(now) && error.number == Some(broker))
    }

    /// Whether one of the errors is about a broker that librdkafka knows by its number, and so from the cluster.
    pub(crate) fn name_a_broker(&self, now: Instant) -> bool {
        self.errors.lock().values().any(|error| error.is_current(now) && error.number.is_some())
    }

    /// Why a start ended without a connection.
    pub(crate) fn start_failure(&self, servers: &str, attempts: u32, now: Instant) -> Failure {
        let kind = self.kind_to_blame();
        let cause =
            self.text(now).unwrap_or_else(|| "no answer: nothing refused the connection, and nothing replied".into());
        let advice = match kind {
            Kind::TLS => {
                "check that ssl_cafile holds the authority that signed the brokers' certificates, that the names in \
                 bootstrap_servers are in those certificates, that they have not expired, and that the listener speaks TLS"
            }
            _ if kind.class == Class::Authentication => "check sasl_mechanism, sasl_username and sasl_password",
            _ => "check that Kafka runs and that bootstrap_servers and security_protocol fit its listeners",
        };
        let attempts = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        Failure::new(kind, format!("cannot connect to Kafka at {servers} after {attempts}: {cause}; {advice}"))
    }

    /// Whether at least `addresses` addresses failed with an error that retrying cannot fix: wrong credentials, or no trust
    /// in a certificate.
    pub(crate) fn all_need_a_fix(&self, addresses: usize) -> bool {
        let errors = self.errors.lock();
        let lasting = errors.values().filter(|error| error.kind.needs_a_fix()).count();
        lasting >= addresses.clamp(1, MAX_BROKERS)
    }

    /// The error that somebody has to mend, before any that may pass.
    fn kind_to_blame(&self) -> Kind {
        let errors = self.errors.lock();
        let blame = errors.values().map(|error| error.kind).max_by_key(|kind| match kind.class {
            Class::Authentication => 2,
            _ => i32::from(kind.needs_a_fix()),
        });
        match blame {
            Some(kind) if matches!(kind.class, Class::Authentication | Class::Connection | Class::Authorization) => {
                kind
            }
            _ => Kind::NETWORK,
        }
    }

    /// librdkafka's text without its timings, control characters and secrets.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let text = text.split(" (after ").next().unwrap_or(text);
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"));
        text.chars().filter(|c| !c.is_control()).take(MAX_LENGTH).collect()
    }
}

impl BrokerError {
    fn is_current(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.reported) < LIFETIME
    }
}

/// `host:port` at the beginning of librdkafka's text, which reads `scheme://host:port/id: …`.
fn broker_of(text: &str) -> &str {
    let name = text.split(": ").next().unwrap_or(text);
    let name = name.split("://").last().unwrap_or(name);
    name.split('/').next().unwrap_or(name)
}

/// The broker's number in the same place; a bootstrap address has none.
fn number_of(text: &str) -> Option<i32> {
    let (name, _) = text.split_once(": ")?;
    name.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str =
        "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";

    fn no_errors() -> BrokerErrors {
        BrokerErrors::new(Vec::new())
    }

    #[test]
    fn names_each_broker_once_with_its_last_error() {
        let (errors, now) = (no_errors(), Instant::now());
        errors.note(Code::BrokerTransportFailure, "127.0.0.1:9092/bootstrap: Disconnected", now);
        errors.note(Code::BrokerTransportFailure, REFUSED, now);
        errors.note(Code::Resolve, "sasl_ssl://kafka-1:9092/bootstrap: Failed to resolve 'kafka-1:9092'", now);
        errors.note(Code::AllBrokersDown, "2/2 brokers are down", now);
        let failure = errors.start_failure("127.0.0.1:9092,kafka-1:9092", 3, now);
        assert_eq!(failure.kind.class, Class::Connection);
        assert!(failure
            .message
            .contains("127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused; "));
        assert!(failure.message.contains("kafka-1:9092"));
        assert!(!failure.message.contains("Disconnected"));
        assert!(!failure.message.contains("after 0ms"));
        errors.clear();
        assert_eq!(errors.text(now), None);
    }

    #[test]
    fn knows_which_brokers_its_errors_are_about() {
        let (errors, now) = (no_errors(), Instant::now());
        errors.note(Code::BrokerTransportFailure, REFUSED, now);
        errors.note(Code::Resolve, "kafka-2:9092/bootstrap: Failed to resolve 'kafka-2:9092'", now);
        assert!(errors.concern(1, now) && !errors.concern(2, now) && errors.name_a_broker(now));
        errors.note(Code::BrokerTransportFailure, "127.0.0.1:9092/bootstrap: Disconnected", now);
        assert!(errors.concern(1, now), "the same address");
        assert!(!errors.concern(1, now + LIFETIME));
        errors.forget(1);
        assert!(!errors.concern(1, now));
        assert!(errors.text(now).is_some_and(|text| text.contains("kafka-2")) && !errors.name_a_broker(now));
    }

    #[test]
    fn forgets_an_error_that_librdkafka_does_not_repeat() {
        let (errors, now) = (no_errors(), Instant::now());
        errors.note(Code::BrokerTransportFailure, REFUSED, now);
        assert!(errors.text(now + LIFETIME / 2).is_some());
        assert_eq!(errors.text(now + LIFETIME), None);
    }

    #[test]
    fn blames_what_has_to_be_mended() {
        let (errors, now) = (no_errors(), Instant::now());
        errors.note(Code::BrokerTransportFailure, REFUSED, now);
        assert!(!errors.all_need_a_fix(1));
        errors.note(Code::SSL, "ssl://b:1/bootstrap: SSL handshake failed", now);
        assert!(errors.all_need_a_fix(1));
        assert_eq!(errors.start_failure("b:1", 1, now).kind, Kind::TLS);
        errors.note(Code::Authentication, "sasl_ssl://a:1/bootstrap: Authentication failed", now);
        assert_eq!(errors.start_failure("a:1", 1, now).kind.class, Class::Authentication);
    }

    #[test]
    fn one_address_that_refuses_for_good_is_not_all_of_them() {
        let (errors, now) = (no_errors(), Instant::now());
        errors.note(Code::Authentication, "sasl_ssl://a:1/bootstrap: Authentication failed", now);
        assert!(!errors.all_need_a_fix(2));
        errors.note(Code::Authentication, "sasl_ssl://b:1/bootstrap: Authentication failed", now);
        assert!(errors.all_need_a_fix(2));
    }

    #[test]
    fn shows_no_secret_and_no_control_character() {
        let errors = BrokerErrors::new(vec!["hunter2".into()]);
        assert_eq!(errors.scrub("password\r\n hunter2 refused (after 3ms in state X)"), "password [secret] refused");
    }
}
