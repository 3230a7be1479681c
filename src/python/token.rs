//! Tokens for OAUTHBEARER, from Python to the native half.

use pyo3::prelude::*;

use crate::kafka::librdkafka::Token;

/// An OAUTHBEARER token on its way to the producer.
#[pyclass(frozen, name = "Token", module = "kafka_email._core")]
pub(super) struct TokenRef {
    value: String,
    principal: String,
    expires_at_ms: i64,
}

impl TokenRef {
    pub(super) fn native(&self) -> Token {
        let (value, principal) = (self.value.clone(), self.principal.clone());
        Token { value, principal, expires_at_ms: self.expires_at_ms }
    }
}

#[pymethods]
impl TokenRef {
    /// `expires_at_ms`: end of its life, in milliseconds since the Unix epoch.
    #[new]
    fn new(value: String, principal: String, expires_at_ms: i64) -> Self {
        Self { value, principal, expires_at_ms }
    }
}
