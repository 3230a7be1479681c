//! What rdkafka's own clients ask the worker: for an OAUTHBEARER token, and where errors go.

use std::error::Error;
use std::sync::Arc;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::kafka::librdkafka::LatestToken;

/// Answers for clients whose errors the caller of each request hears of anyway.
#[derive(Clone)]
pub(super) struct KafkaContext {
    token: Arc<LatestToken>,
}

impl KafkaContext {
    pub(super) fn new(token: Arc<LatestToken>) -> Self {
        Self { token }
    }
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}

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
