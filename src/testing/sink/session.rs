//! One connection: reads lines and mails, and sends what the dialogue replies.

use std::io;
use std::sync::Arc;

use smtp_proto::request::receiver::DataReceiver;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::dialogue::{Dialogue, Envelope, Next};
use super::faults::Fault;
use super::ledger::Ledger;
use super::mail::{event_id, ReceivedMail};
use super::options::SinkOptions;
use super::stage::Stage;
use super::store::Store;

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;
/// Longest line; XOAUTH2 tokens have some kilobytes.
const LONGEST_LINE: usize = 64 * 1024;

/// What every session needs.
pub(super) struct Shared {
    pub(super) options: Arc<SinkOptions>,
    pub(super) store: Arc<Store>,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) ledger: Option<Ledger>,
}

/// Serves a client until one of the two closes the connection.
///
/// # Errors
/// When the connection breaks.
pub(super) async fn serve(mut socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let is_implicit = shared.options.tls.as_ref().is_some_and(|tls| tls.implicit);
    let mut dialogue = Dialogue::new(shared.options.clone(), shared.store.clone(), is_implicit);
    let greeting = dialogue.greet();
    if matches!(greeting, Next::Drop) {
        return Ok(());
    }
    match &shared.acceptor {
        Some(acceptor) if is_implicit => {
            let mut secure = acceptor.accept(socket).await?;
            Session::new(&mut secure, &mut dialogue, shared).run(greeting).await?;
        }
        acceptor => {
            let end = Session::new(&mut socket, &mut dialogue, shared).run(greeting).await?;
            if let (End::Handshake, Some(acceptor)) = (end, acceptor) {
                let mut secure = acceptor.accept(socket).await?;
                dialogue.secured();
                Session::new(&mut secure, &mut dialogue, shared).run(Next::Line).await?;
            }
        }
    }
    Ok(())
}

enum End {
    Closed,
    Handshake,
}

struct Session<'a, S> {
    stream: &'a mut S,
    dialogue: &'a mut Dialogue,
    shared: &'a Shared,
    /// Bytes that have not been looked at.
    input: Vec<u8>,
    /// The mail that is being received.
    content: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(stream: &'a mut S, dialogue: &'a mut Dialogue, shared: &'a Shared) -> Self {
        Self { stream, dialogue, shared, input: Vec::new(), content: Vec::new() }
    }

    async fn run(&mut self, first: Next) -> io::Result<End> {
        let mut next = first;
        loop {
            next = match next {
                Next::Line => self.line().await?,
                Next::Content => {
                    let is_too_large = self.receive().await?;
                    self.end_of_mail(is_too_large).await
                }
                Next::CutContent => {
                    if self.input.is_empty() {
                        self.fill().await?;
                    } else {
                        self.flush().await?;
                    }
                    return Ok(End::Closed);
                }
                Next::Handshake => {
                    // What came in clear text behind STARTTLS is dropped with this session.
                    self.flush().await?;
                    return Ok(End::Handshake);
                }
                Next::Close => {
                    self.flush().await?;
                    self.stream.shutdown().await?;
                    return Ok(End::Closed);
                }
                // Replies to the commands before have been earned.
                Next::Drop => {
                    self.flush().await?;
                    return Ok(End::Closed);
                }
            };
        }
    }

    async fn line(&mut self) -> io::Result<Next> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(self.dialogue.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
            if self.input.len() > LONGEST_LINE {
                return Ok(self.dialogue.line_too_long());
            }
            if !self.fill().await? {
                return Ok(Next::Close);
            }
        }
    }

    /// Receives a mail up to its dot; true when it is too large to be accepted.
    async fn receive(&mut self) -> io::Result<bool> {
        let mut receiver = DataReceiver::new();
        let mut is_too_large = false;
        // A mail begins at the start of a line, where the receiver looks for dots.
        receiver.ingest(&mut b"\r\n".iter(), &mut self.content);
        self.content.clear();
        loop {
            let mut rest = self.input.iter();
            let is_complete = receiver.ingest(&mut rest, &mut self.content);
            let left = rest.as_slice().len();
            self.input.drain(..self.input.len() - left);
            is_too_large |= self.shared.options.is_too_large(self.content.len());
            if is_complete {
                return Ok(is_too_large);
            }
            if is_too_large {
                self.content.clear();
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn end_of_mail(&mut self, is_too_large: bool) -> Next {
        let fault = self.dialogue.strike(Stage::Dot);
        let envelope = self.dialogue.take_envelope();
        let code = match fault {
            Some(Fault::Reply(code)) if code / 100 != 2 => return self.dialogue.end_of_mail(code),
            _ if is_too_large => return self.dialogue.end_of_mail(552),
            _ if envelope.recipients.is_empty() => return self.dialogue.end_of_mail(554),
            Some(Fault::Reply(code)) => code,
            _ => 250,
        };
        if !self.is_recorded(&envelope).await {
            return self.dialogue.end_of_mail(451);
        }
        let mail = self.shared.options.keep.then(|| ReceivedMail {
            sender: envelope.sender.unwrap_or_default(),
            recipients: envelope.recipients,
            raw: std::mem::take(&mut self.content),
        });
        self.shared.store.accept(mail);
        match fault {
            Some(Fault::Drop) => Next::Drop,
            _ => self.dialogue.end_of_mail(code),
        }
    }

    /// Writes the mail into the ledger, if there is one.
    async fn is_recorded(&self, envelope: &Envelope) -> bool {
        match &self.shared.ledger {
            Some(ledger) => {
                let id = event_id(&self.content).unwrap_or("-".into());
                ledger.append(&id, &envelope.recipients).await
            }
            None => true,
        }
    }

    /// Sends the replies and reads on; false at the end of the stream. Commands that came together are answered
    /// together.
    async fn fill(&mut self) -> io::Result<bool> {
        self.flush().await?;
        self.input.reserve(READ_SIZE);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let replies = self.dialogue.take_replies();
        if replies.is_empty() {
            return Ok(());
        }
        let delay = self.shared.store.delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.stream.write_all(&replies).await?;
        self.stream.flush().await
    }
}
