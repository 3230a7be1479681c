//! What rdkafka's own clients ask the worker: for an OAUTHBEARER token, and where errors go.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::librdkafka::LatestToken;

/// Answers for clients whose errors the caller of each request hears of anyway, or finds in `errors`.
#[derive(Clone)]
pub(super) struct KafkaContext {
    token: Arc<LatestToken>,
    errors: Option<Arc<BrokerErrors>>,
}

impl KafkaContext {
    pub(super) fn new(token: Arc<LatestToken>) -> Self {
        Self { token, errors: None }
    }

    /// The token that the application supplied last.
    pub(super) fn token(&self) -> &LatestToken {
        &self.token
    }

    /// Keeps what is wrong with each broker.
    pub(super) fn noting(token: Arc<LatestToken>, errors: Arc<BrokerErrors>) -> Self {
        Self { token, errors: Some(errors) }
    }
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if let (Some(errors), Some(code)) = (&self.errors, error.rdkafka_error_code()) {
            errors.note(code, reason, Instant::now());
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.token.with(|token| {
            let token = token?;
            Ok(OAuthToken {
                token: token.value.clone(),
                principal_name: token.principal.clone(),
                lifetime_ms: token.expires_at_ms,
            })
        })
    }
}
