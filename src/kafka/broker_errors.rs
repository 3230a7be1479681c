//! What is wrong with the cluster, as far as librdkafka told: the *why* behind a timeout.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::failure::{Class, Failure, Kind};

/// Brokers to remember a cause for; more would make an error unreadable.
const BROKERS: usize = 8;
/// Longest cause in characters.
const LENGTH: usize = 300;
/// librdkafka repeats the same error of a broker every 30 s; one that it does not repeat is over.
const MEMORY: Duration = Duration::from_secs(35);

/// The last error of each broker that has one.
pub struct Trouble {
    secrets: Vec<String>,
    causes: Mutex<BTreeMap<String, Cause>>,
}

#[derive(Clone)]
struct Cause {
    kind: Kind,
    text: String,
    noted: Instant,
}

impl Trouble {
    /// No trouble yet; none of `secrets` will ever be in a text.
    pub fn new(secrets: Vec<String>) -> Self {
        Self { secrets, causes: Mutex::default() }
    }

    /// Keeps an error of librdkafka, whose text begins with the broker's name.
    pub fn note(&self, code: Code, reason: &str) {
        // Only a summary of what the brokers' own errors say better, and librdkafka repeats it.
        if code == Code::AllBrokersDown {
            return;
        }
        let text = self.clean(reason);
        let mut causes = self.causes.lock();
        causes.retain(|_, cause| cause.noted.elapsed() < MEMORY);
        let broker = broker_of(&text).to_owned();
        if causes.len() < BROKERS || causes.contains_key(&broker) {
            causes.insert(broker, Cause { kind: Kind::of(code), text, noted: Instant::now() });
        }
    }

    /// All is well again.
    pub fn clear(&self) {
        self.causes.lock().clear();
    }

    /// The causes, one for each broker.
    pub fn text(&self) -> Option<String> {
        let causes = self.causes.lock();
        let current = causes.values().filter(|cause| cause.noted.elapsed() < MEMORY);
        let texts: Vec<&str> = current.map(|cause| cause.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// What a start that ended without a connection fails with.
    pub fn failure(&self, servers: &str, attempts: u32) -> Failure {
        let kind = self.kind();
        let cause =
            self.text().unwrap_or_else(|| "no answer: nothing refused the connection, and nothing replied".into());
        let advice = match kind.class {
            Class::Authentication => "check sasl_mechanism, sasl_username and sasl_password",
            _ if kind == Kind::of(Code::SSL) => {
                "check that ssl_cafile holds the authority that signed the brokers' certificates, that the names in \
                 bootstrap_servers are in those certificates, that they have not expired, and that the listener speaks TLS"
            }
            _ => "check that Kafka runs and that bootstrap_servers and security_protocol fit its listeners",
        };
        let attempts = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        Failure::new(kind, format!("cannot connect to Kafka at {servers} after {attempts}: {cause}; {advice}"))
    }

    /// Whether waiting cannot help: wrong credentials, or no trust in the certificate.
    pub fn is_lasting(&self) -> bool {
        let kind = self.kind();
        matches!(kind.class, Class::Authentication) || kind == Kind::of(Code::SSL)
    }

    /// The cause to blame: one that has to be fixed before one that may pass.
    fn kind(&self) -> Kind {
        let causes = self.causes.lock();
        let mut kinds = causes.values().map(|cause| cause.kind);
        let first = kinds.next().unwrap_or(Kind::NETWORK);
        let blamed = std::iter::once(first).chain(kinds).max_by_key(|kind| match kind.class {
            Class::Authentication => 2,
            _ => i32::from(*kind == Kind::of(Code::SSL)),
        });
        match blamed.unwrap_or(first) {
            kind if matches!(kind.class, Class::Authentication | Class::Connection | Class::Authorization) => kind,
            _ => Kind::NETWORK,
        }
    }

    /// librdkafka's text without its timings, control characters and secrets.
    pub fn clean(&self, text: &str) -> String {
        let text = text.split(" (after ").next().unwrap_or(text);
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"));
        text.chars().filter(|c| !c.is_control()).take(LENGTH).collect()
    }
}

/// `host:port` at the beginning of librdkafka's text, which reads `scheme://host:port/id: …`.
fn broker_of(text: &str) -> &str {
    let name = text.split(": ").next().unwrap_or(text);
    let name = name.split("://").last().unwrap_or(name);
    name.split('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str =
        "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";

    #[test]
    fn names_each_broker_once_with_its_last_cause() {
        let trouble = Trouble::new(Vec::new());
        trouble.note(Code::BrokerTransportFailure, "127.0.0.1:9092/bootstrap: Disconnected");
        trouble.note(Code::BrokerTransportFailure, REFUSED);
        trouble.note(Code::Resolve, "sasl_ssl://kafka-1:9092/bootstrap: Failed to resolve 'kafka-1:9092'");
        trouble.note(Code::AllBrokersDown, "2/2 brokers are down");
        let failure = trouble.failure("127.0.0.1:9092,kafka-1:9092", 3);
        assert_eq!(failure.class, Class::Connection);
        assert!(failure
            .message
            .contains("127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused; "));
        assert!(failure.message.contains("kafka-1:9092"));
        assert!(!failure.message.contains("Disconnected"));
        assert!(!failure.message.contains("after 0ms"));
        trouble.clear();
        assert_eq!(trouble.text(), None);
    }

    #[test]
    fn blames_what_has_to_be_fixed() {
        let trouble = Trouble::new(Vec::new());
        trouble.note(Code::BrokerTransportFailure, REFUSED);
        assert!(!trouble.is_lasting());
        trouble.note(Code::SSL, "ssl://b:1/bootstrap: SSL handshake failed");
        assert!(trouble.is_lasting());
        trouble.note(Code::Authentication, "sasl_ssl://a:1/bootstrap: Authentication failed");
        assert_eq!(trouble.failure("a:1", 1).class, Class::Authentication);
    }

    #[test]
    fn shows_no_secret_and_no_control_character() {
        let trouble = Trouble::new(vec!["hunter2".into()]);
        assert_eq!(trouble.clean("password\r\n hunter2 refused (after 3ms in state X)"), "password [secret] refused");
    }
}
