//! The stages of an SMTP dialogue.

/// A step of the dialogue, from the connection to the reply to the final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The name of the server is resolved, and a TCP connection is made.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The server's first line.
    Greeting,
    /// EHLO, before and after the TLS handshake.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH, with all its challenges.
    Auth,
    /// MAIL, with the sender.
    Mail,
    /// RCPT, with the recipient.
    Rcpt,
    /// DATA, and sending the message.
    Data,
    /// The wait for the reply to the terminator.
    Dot,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Tls,
        Self::Greeting,
        Self::Ehlo,
        Self::StartTls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Dot,
    ];

    /// Its name in metrics and dead letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Dot => "dot",
        }
    }
}
