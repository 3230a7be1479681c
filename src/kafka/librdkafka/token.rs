//! OAUTHBEARER tokens.
//!
//! The application renews its token ahead of time on an event loop. librdkafka's request for a fresh one is answered
//! from here, so no native thread waits for Python.

use std::ffi::CString;
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode as Code;

/// A bearer token (RFC 6750, RFC 7628). It is a secret, so it has no `Debug`.
pub(crate) struct Token {
    pub(crate) value: String,
    /// Name of the principal that the token stands for.
    pub(crate) principal: String,
    /// End of its life, in milliseconds since the Unix epoch.
    pub(crate) expires_at_ms: i64,
}

/// The token that the application supplied last.
pub(crate) struct LatestToken(Mutex<Option<Token>>);

impl LatestToken {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self(Mutex::new(token))
    }

    pub(crate) fn replace(&self, token: Token) {
        *self.0.lock() = Some(token);
    }

    /// Lends the token to `use_token`, or the reason why there is no valid one.
    pub(crate) fn with<R>(&self, use_token: impl FnOnce(Result<&Token, &str>) -> R) -> R {
        let token = self.0.lock();
        use_token(match &*token {
            Some(token) if token.expires_at_ms > now_ms() => Ok(token),
            Some(_) => Err("the OAUTHBEARER token expired and the application supplied no newer one"),
            None => Err("the application supplied no OAUTHBEARER token"),
        })
    }
}

/// Gives the token to one of rdkafka's own clients. Its admin client needs that: nobody polls the queue through which
/// librdkafka asks for tokens.
pub(crate) fn give_to<C: ClientContext>(client: &Client<C>, token: &LatestToken) {
    // SAFETY: the client is alive.
    token.with(|token| unsafe { give(client.native_ptr(), token) });
}

/// Gives a client the token, or the reason why there is none.
///
/// # Safety
/// The client is alive.
pub(super) unsafe fn give(client: *mut sys::rd_kafka_t, token: Result<&Token, &str>) {
    // SAFETY: by the contract above.
    if let Err(reason) = token.and_then(|token| unsafe { try_to_give(client, token) }) {
        let reason = CString::new(reason).unwrap_or_default();
        // SAFETY: client and string are alive.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(client, reason.as_ptr()) };
    }
}

/// # Safety
/// The client is alive.
unsafe fn try_to_give(client: *mut sys::rd_kafka_t, token: &Token) -> Result<(), &'static str> {
    let value = CString::new(token.value.as_str()).map_err(|_| "the token holds a NUL character")?;
    let principal = CString::new(token.principal.as_str()).map_err(|_| "the principal holds a NUL character")?;
    let mut reason = [0; 512];
    // SAFETY: client and strings are alive, there are no extensions, and the buffer has the length given.
    let code: Code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client,
            value.as_ptr(),
            token.expires_at_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        )
    }
    .into();
    (code == Code::NoError).then_some(()).ok_or("the token is malformed or past its lifetime")
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
