//! How a sink is set up.

use std::collections::HashMap;
use std::path::PathBuf;

/// Everything that is fixed before the sink starts. It has no `Debug`: it contains passwords.
#[derive(serde::Deserialize)]
pub(crate) struct SinkOptions {
    /// 0 for a free one.
    pub(crate) port: u16,
    /// EHLO keywords that need no argument: `PIPELINING` and so on.
    pub(crate) extensions: Vec<String>,
    /// Bytes of the largest mail, 0 for no limit; None to leave SIZE out of the reply to EHLO.
    pub(crate) size: Option<usize>,
    /// The sink's certificate, if it is to speak TLS.
    pub(crate) tls: Option<TlsOptions>,
    /// Passwords (or XOAUTH2 tokens) by user name; nobody has to log in when it is empty.
    pub(crate) users: HashMap<String, String>,
    /// Where event ids and recipients are written and synced before a mail is acknowledged.
    pub(crate) ledger: Option<PathBuf>,
    /// Whether mails are stored, and not only counted.
    pub(crate) keep: bool,
}

/// PEM files and when they are used.
#[derive(serde::Deserialize)]
pub(crate) struct TlsOptions {
    /// The server's certificate and those that it needs.
    pub(crate) certfile: PathBuf,
    /// The private key.
    pub(crate) keyfile: PathBuf,
    /// Whether TLS begins with the connection, as on port 465, and not with STARTTLS.
    pub(crate) implicit: bool,
}

impl SinkOptions {
    /// Whether an EHLO keyword is offered.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.extensions.iter().any(|extension| extension == keyword)
    }

    /// Whether a mail of so many bytes is larger than SIZE allows.
    pub(super) fn is_too_large(&self, bytes: usize) -> bool {
        self.size.is_some_and(|limit| limit > 0 && bytes > limit)
    }
}
