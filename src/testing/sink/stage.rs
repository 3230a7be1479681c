//! The steps of an SMTP session at which a test can let the sink fail.

/// Where a scripted fault strikes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The greeting of a new connection.
    Connect,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// The end of an AUTH exchange, when all credentials have been sent.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The dot that ends a mail.
    Dot,
}

impl Stage {
    /// In the order of a session.
    pub(crate) const ALL: [Self; 8] =
        [Self::Connect, Self::Ehlo, Self::StartTls, Self::Auth, Self::Mail, Self::Rcpt, Self::Data, Self::Dot];

    /// As tests write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Dot => "dot",
        }
    }

    /// The stage of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}
