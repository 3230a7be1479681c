//! How to reach the mail server and be let in: the values of `SmtpConfig`, as Python resolved them.

use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Security {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, which is then required.
    StartTls,
    /// No encryption.
    None,
}

/// A field for each setting. It holds secrets, so it has no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name or address of the mail server.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// Whether a token provider is in use. Then the client signs in by XOAUTH2, and by nothing else.
    pub(super) has_token: bool,
    /// File of trusted certificates; the system's when absent.
    pub(super) cafile: Option<String>,
    /// Whether the server's certificate is verified.
    pub(super) verify: bool,
    /// Whether credentials may be sent without encryption to a host other than this one.
    pub(super) cleartext_auth: bool,
    /// What EHLO says; the address of the socket when absent.
    pub(super) helo_name: Option<String>,
    pub(super) max_connections: usize,
    pub(super) max_mails_per_connection: u32,
    idle_timeout_ms: u64,
    connect_timeout_ms: u64,
    reply_timeout_ms: u64,
    dot_timeout_ms: u64,
}

impl Settings {
    /// Sessions at once, at most.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// How long a delivery can take in which every stage uses up its deadline, on a new connection after an old one failed.
    pub fn longest_delivery(&self) -> Duration {
        // Address, TLS; greeting, EHLO twice, STARTTLS, three of AUTH, RSET, MAIL, RCPT, DATA.
        2 * (2 * self.connect_timeout() + 11 * self.reply_timeout()) + 2 * self.dot_timeout()
    }

    /// Whether nobody on the way to `remote` can read credentials, or the user does not mind.
    pub(super) fn may_send_credentials(&self, remote: IpAddr) -> bool {
        self.security != Security::None || self.cleartext_auth || remote.to_canonical().is_loopback()
    }

    /// How long an unused session stays open.
    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// For the connection, and once more for the TLS handshake.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// For the reply to any command.
    pub(super) fn reply_timeout(&self) -> Duration {
        Duration::from_millis(self.reply_timeout_ms)
    }

    /// For sending the message, and once more for the reply to the final dot.
    pub(super) fn dot_timeout(&self) -> Duration {
        Duration::from_millis(self.dot_timeout_ms)
    }
}
