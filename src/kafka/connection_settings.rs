//! How to reach a cluster and be let in: the settings that producer and worker share.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use serde::Deserialize;
use std::time::Duration;

/// Longest pause between two attempts to reconnect, so that a returning cluster is noticed within seconds.
const MAX_RECONNECT_BACKOFF: Duration = Duration::from_secs(1);

/// A field for each key of the Python face's configuration. It holds secrets, so it has no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionSettings {
    /// Comma-separated `host:port` list.
    pub(crate) bootstrap_servers: String,
    /// Name of this client in the brokers' logs and quotas.
    pub(crate) client_id: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    security_protocol: String,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    sasl_mechanism: Option<String>,
    sasl_username: Option<String>,
    sasl_password: Option<String>,
    /// File of trusted certificates; the system's when absent.
    ssl_cafile: Option<String>,
    ssl_certfile: Option<String>,
    ssl_keyfile: Option<String>,
    ssl_key_password: Option<String>,
    /// Values that no text of ours may contain, the longest first. Python decides which ones they are.
    pub(crate) secrets: Vec<String>,
}

impl ConnectionSettings {
    /// librdkafka's configuration, as far as it is about the connection.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Debug)
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("reconnect.backoff.max.ms", MAX_RECONNECT_BACKOFF.as_millis().to_string())
            .set("socket.connection.setup.timeout.ms", "10000")
            // Brokers close idle connections; that is no news.
            .set("log.connection.close", "false");
        self.set_security(&mut config);
        config
    }

    /// The setting, and its file, that librdkafka's complaint is about.
    pub(crate) fn file_at_fault(&self, complaint: &str) -> Option<(&'static str, &str)> {
        let files = [
            ("ssl.ca.location", "ssl_cafile", &self.ssl_cafile),
            ("ssl.certificate.location", "ssl_certfile", &self.ssl_certfile),
            ("ssl.key.location", "ssl_keyfile", &self.ssl_keyfile),
        ];
        let (_, setting, file) = files.into_iter().find(|(property, ..)| complaint.contains(property))?;
        Some((setting, file.as_deref()?))
    }

    fn set_security(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.security_protocol.to_lowercase());
        if self.security_protocol.ends_with("SSL") {
            // The bundled OpenSSL does not know where this system keeps its certificates; `probe` finds them.
            config.set("ssl.ca.location", self.ssl_cafile.as_deref().unwrap_or("probe"));
        }
        let optional = [
            ("sasl.mechanism", &self.sasl_mechanism),
            ("sasl.username", &self.sasl_username),
            ("sasl.password", &self.sasl_password),
            ("ssl.certificate.location", &self.ssl_certfile),
            ("ssl.key.location", &self.ssl_keyfile),
            ("ssl.key.password", &self.ssl_key_password),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(changes: &serde_json::Value) -> ConnectionSettings {
        let mut settings = serde_json::json!({
            "bootstrap_servers": "a:1,b:2", "client_id": "test", "security_protocol": "PLAINTEXT", "secrets": [],
        });
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(settings).unwrap()
    }

    fn config(changes: &serde_json::Value) -> ClientConfig {
        settings(changes).client_config()
    }

    #[test]
    fn without_security_nothing_of_it_is_set() {
        let config = config(&serde_json::json!({}));
        assert_eq!(config.get("security.protocol"), Some("plaintext"));
        assert_eq!((config.get("ssl.ca.location"), config.get("sasl.mechanism")), (None, None));
    }

    #[test]
    fn the_systems_certificates_are_looked_for_where_no_file_is_given() {
        assert_eq!(config(&serde_json::json!({"security_protocol": "SSL"})).get("ssl.ca.location"), Some("probe"));
        let given = config(&serde_json::json!({"security_protocol": "SASL_SSL", "ssl_cafile": "ca.pem"}));
        assert_eq!(given.get("ssl.ca.location"), Some("ca.pem"));
    }

    #[test]
    fn a_complaint_about_a_file_is_one_about_its_setting() {
        let settings = settings(&serde_json::json!({"security_protocol": "SSL", "ssl_cafile": "ca.pem"}));
        assert_eq!(settings.file_at_fault("ssl.ca.location failed: no such file"), Some(("ssl_cafile", "ca.pem")));
        assert_eq!(settings.file_at_fault("ssl.key.location failed: no such file"), None, "of producer_options");
        assert_eq!(settings.file_at_fault("no mechanism"), None);
    }
}
