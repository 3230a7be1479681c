//! The OAUTHBEARER token that the application supplied last.
//!
//! The application renews it ahead of time on its own event loop; librdkafka's request for a fresh one is answered from
//! here, so no native thread waits for Python.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A bearer token (RFC 6750, RFC 7628). No `Debug`: it is a secret.
pub struct Token {
    /// The token itself.
    pub value: String,
    /// Name of the principal it stands for.
    pub principal: String,
    /// End of its life, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// Holds the newest token.
pub struct TokenCell(Mutex<Option<Token>>);

impl TokenCell {
    /// A cell with the first token, if there is one.
    pub fn new(token: Option<Token>) -> Self {
        Self(Mutex::new(token))
    }

    /// Replaces the token.
    pub fn set(&self, token: Token) {
        *self.0.lock() = Some(token);
    }

    /// Shows the token, or why there is none.
    pub fn show<R>(&self, look: impl FnOnce(Result<&Token, &str>) -> R) -> R {
        let token = self.0.lock();
        look(match &*token {
            Some(token) if token.expires_at_ms > now_ms() => Ok(token),
            Some(_) => Err("the OAUTHBEARER token expired and the application supplied no newer one"),
            None => Err("the application supplied no OAUTHBEARER token"),
        })
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
