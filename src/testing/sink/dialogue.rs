//! What the sink replies to each line of a client. No I/O and no clock.

use std::sync::Arc;

use super::auth::{self, Exchange, Step};
use super::command::{Command, Parameter, Path};
use super::faults::Fault;
use super::options::SinkOptions;
use super::stage::Stage;
use super::store::Store;

/// What comes after a line.
pub(super) enum Next {
    /// The next line.
    Line,
    /// The content of a mail.
    Content,
    /// A part of the content, then the end of the connection.
    CutContent,
    /// The TLS handshake.
    Handshake,
    /// The end of the connection, as a server closes it.
    Close,
    /// The end of the connection, without a reply.
    Drop,
}

/// Who sends a mail to whom. It has no `Debug`: all of it is personal data.
#[derive(Default)]
pub(super) struct Envelope {
    /// None before MAIL.
    pub(super) sender: Option<String>,
    pub(super) recipients: Vec<String>,
    allows_utf8: bool,
}

/// The state of one session.
pub(super) struct Dialogue {
    options: Arc<SinkOptions>,
    store: Arc<Store>,
    is_secure: bool,
    is_greeted: bool,
    is_authenticated: bool,
    exchange: Option<Exchange>,
    envelope: Envelope,
    replies: Vec<u8>,
}

impl Dialogue {
    /// A session before its greeting.
    pub(super) fn new(options: Arc<SinkOptions>, store: Arc<Store>, is_secure: bool) -> Self {
        Self {
            options,
            store,
            is_secure,
            is_greeted: false,
            is_authenticated: false,
            exchange: None,
            envelope: Envelope::default(),
            replies: Vec::new(),
        }
    }

    /// Greets the client of a new connection.
    pub(super) fn greet(&mut self) -> Next {
        self.at(Stage::Connect, 220, |this, code| this.reply(code, "localhost ESMTP sink, which delivers nothing"))
    }

    /// Replies to a line, without its end.
    pub(super) fn line(&mut self, line: &str) -> Next {
        if let Some(exchange) = self.exchange.take() {
            return self.go_on(exchange, line.trim());
        }
        let Command { verb, arguments } = Command::parse(line);
        match verb.as_str() {
            "EHLO" => self.at(Stage::Ehlo, 250, Self::ehlo),
            "HELO" => self.at(Stage::Ehlo, 250, |this, code| {
                this.begin_session();
                this.reply(code, "localhost")
            }),
            "STARTTLS" => self.at(Stage::StartTls, 220, Self::start_tls),
            "AUTH" => self.auth(arguments),
            "MAIL" => self.at(Stage::Mail, 250, |this, code| this.mail(arguments, code)),
            "RCPT" => self.at(Stage::Rcpt, 250, |this, code| this.rcpt(arguments, code)),
            "DATA" => self.data(),
            "RSET" => {
                self.envelope = Envelope::default();
                self.reply(250, "OK")
            }
            "NOOP" => self.reply(250, "OK"),
            "VRFY" => self.reply(252, "Send the mail and see"),
            "QUIT" => {
                self.reply(221, "Bye");
                Next::Close
            }
            _ => self.reply(500, "Unknown command"),
        }
    }

    /// Replies to a mail that has arrived.
    pub(super) fn end_of_mail(&mut self, code: u16) -> Next {
        let text = match code {
            250 => "Accepted, and not delivered",
            451 => "The ledger cannot be written",
            552 => "Larger than SIZE",
            554 => "No recipient",
            _ => SCRIPTED,
        };
        self.reply(code, text)
    }

    /// The fault that strikes at this stage, if there is one.
    pub(super) fn strike(&self, stage: Stage) -> Option<Fault> {
        self.store.strike(stage)
    }

    /// Refuses a line that has no end.
    pub(super) fn line_too_long(&mut self) -> Next {
        self.reply(500, "Line too long");
        Next::Close
    }

    /// Ends the transaction.
    pub(super) fn take_envelope(&mut self) -> Envelope {
        std::mem::take(&mut self.envelope)
    }

    /// Begins anew after the TLS handshake.
    pub(super) fn secured(&mut self) {
        self.is_secure = true;
        self.is_greeted = false;
    }

    /// The replies that have not been sent.
    pub(super) fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// Acts at a stage, unless a fault strikes. A scripted code of the usual kind only takes the usual code's place.
    fn at(&mut self, stage: Stage, usual: u16, act: impl FnOnce(&mut Self, u16) -> Next) -> Next {
        match self.strike(stage) {
            None => act(self, usual),
            Some(Fault::Reply(code)) if code / 100 == usual / 100 => act(self, code),
            Some(Fault::Reply(code)) => self.reply(code, SCRIPTED),
            Some(Fault::Drop) => Next::Drop,
        }
    }

    fn reply(&mut self, code: u16, text: &str) -> Next {
        self.replies.extend_from_slice(format!("{code} {text}\r\n").as_bytes());
        if code == 421 {
            Next::Close
        } else {
            Next::Line
        }
    }

    fn begin_session(&mut self) {
        self.is_greeted = true;
        self.envelope = Envelope::default();
    }

    fn ehlo(&mut self, code: u16) -> Next {
        self.begin_session();
        let mut keywords = self.options.extensions.clone();
        keywords.extend(self.options.size.map(|size| format!("SIZE {size}")));
        if self.offers_tls() {
            keywords.push("STARTTLS".to_owned());
        }
        if self.offers_auth() {
            keywords.push("AUTH PLAIN LOGIN XOAUTH2".to_owned());
        }
        let lines = ["localhost".to_owned()].into_iter().chain(keywords).collect::<Vec<_>>();
        let separator = format!("\r\n{code}-");
        let reply = format!("{code}-{}\r\n", lines.join(&separator));
        self.replies.extend_from_slice(reply.as_bytes());
        // RFC 5321: the last line has a space where the others have a hyphen.
        self.reply(code, "HELP")
    }

    fn offers_tls(&self) -> bool {
        self.options.tls.is_some() && !self.is_secure
    }

    fn offers_auth(&self) -> bool {
        !self.options.users.is_empty() && !self.offers_tls()
    }

    fn start_tls(&mut self, code: u16) -> Next {
        if self.offers_tls() {
            self.reply(code, "Begin the handshake");
            Next::Handshake
        } else {
            self.reply(503, "TLS is not offered")
        }
    }

    fn auth(&mut self, arguments: &str) -> Next {
        if !self.offers_auth() || self.is_authenticated {
            return self.reply(503, "AUTH is not offered");
        }
        match auth::begin(arguments, &self.options.users) {
            Some(step) => self.follow(step),
            None => self.reply(504, "Unknown mechanism"),
        }
    }

    fn go_on(&mut self, exchange: Exchange, answer: &str) -> Next {
        if answer == "*" {
            return self.reply(501, "Cancelled");
        }
        let step = auth::go_on(exchange, answer, &self.options.users);
        self.follow(step)
    }

    fn follow(&mut self, step: Step) -> Next {
        match step {
            Step::Ask(question, exchange) => {
                self.exchange = Some(exchange);
                self.reply(334, question)
            }
            Step::Decided(is_right) => self.at(Stage::Auth, 235, |this, code| {
                this.is_authenticated = is_right;
                if is_right {
                    this.reply(code, "Welcome")
                } else {
                    this.reply(535, "Wrong user name or password")
                }
            }),
            Step::Malformed => self.reply(501, "Malformed credentials"),
        }
    }

    fn mail(&mut self, arguments: &str, code: u16) -> Next {
        if !self.is_greeted || self.envelope.sender.is_some() {
            return self.reply(503, "MAIL is not expected here");
        }
        if !self.options.users.is_empty() && !self.is_authenticated {
            return self.reply(530, "Authentication required");
        }
        let Some(path) = Path::parse(arguments, "FROM:") else { return self.reply(501, "MAIL FROM:<address>") };
        let mut allows_utf8 = false;
        for Parameter { keyword, value } in &path.parameters {
            match keyword.as_str() {
                "SIZE" if self.options.size.is_some() => {
                    if value.parse().is_ok_and(|size| self.options.is_too_large(size)) {
                        return self.reply(552, "Larger than SIZE");
                    }
                }
                "BODY" if self.options.offers("8BITMIME") => {}
                "SMTPUTF8" if self.options.offers("SMTPUTF8") => allows_utf8 = true,
                "AUTH" if self.offers_auth() => {}
                _ => return self.reply(555, "Unknown parameter"),
            }
        }
        if !path.address.is_ascii() && !allows_utf8 {
            return self.reply(550, "The address needs SMTPUTF8");
        }
        self.envelope = Envelope { sender: Some(path.address.to_owned()), recipients: Vec::new(), allows_utf8 };
        self.reply(code, "OK")
    }

    fn rcpt(&mut self, arguments: &str, code: u16) -> Next {
        if self.envelope.sender.is_none() {
            return self.reply(503, "MAIL first");
        }
        match Path::parse(arguments, "TO:") {
            Some(path) if !path.parameters.is_empty() => self.reply(555, "Unknown parameter"),
            Some(path) if !path.address.is_ascii() && !self.envelope.allows_utf8 => {
                self.reply(553, "The address needs SMTPUTF8")
            }
            Some(path) if !path.address.is_empty() => {
                self.envelope.recipients.push(path.address.to_owned());
                self.reply(code, "OK")
            }
            _ => self.reply(501, "RCPT TO:<address>"),
        }
    }

    fn data(&mut self) -> Next {
        match self.strike(Stage::Data) {
            None if self.envelope.recipients.is_empty() => self.reply(503, "RCPT first"),
            // A scripted 354 is the mistake of a server that has refused all recipients.
            None | Some(Fault::Reply(354)) => {
                self.reply(354, "End with a dot");
                Next::Content
            }
            Some(Fault::Reply(code)) => self.reply(code, SCRIPTED),
            Some(Fault::Drop) => {
                self.reply(354, "End with a dot");
                Next::CutContent
            }
        }
    }
}

/// The text of a scripted reply.
const SCRIPTED: &str = "As the test has scripted";
