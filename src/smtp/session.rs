//! An open session with the mail server: one transaction after the other.

use super::envelope::Mail;
use super::failure::{Cause, Failure};
use super::offers::Offers;
use super::reply::Reply;
use super::stage::Stage;
use super::stuffing;
use super::wire::Wire;
use std::fmt::from_fn;
use std::time::Duration;

/// A session whose owner signed in. Dropping it closes the connection.
pub(super) struct Session {
    wire: Wire,
    offers: Offers,
    state: State,
    mails: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It can begin a transaction.
    Ready,
    /// It can do so after RSET, since the last transaction failed.
    Reset,
    /// A transaction is under way, or ended in a way after which nothing is certain.
    Unusable,
}

/// The commands that begin a transaction, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Rset,
    Mail,
    Rcpt,
    Data,
}

impl Command {
    const ALL: [Self; 4] = [Self::Rset, Self::Mail, Self::Rcpt, Self::Data];

    const fn stage(self) -> Stage {
        match self {
            Self::Rset | Self::Mail => Stage::Mail,
            Self::Rcpt => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }
}

impl Session {
    pub(super) const fn new(wire: Wire, offers: Offers) -> Self {
        Self { wire, offers, state: State::Ready, mails: 0 }
    }

    /// Whether another transaction may begin.
    pub(super) fn is_usable(&self) -> bool {
        self.state != State::Unusable
    }

    /// How many transactions it began.
    pub(super) const fn mails(&self) -> u32 {
        self.mails
    }

    /// Whether the server said nothing since the last reply.
    pub(super) async fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet().await
    }

    /// MAIL, RCPT and DATA. After `Ok` the server waits for the message.
    pub(super) async fn begin(&mut self, mail: &Mail<'_>) -> Result<(), Failure> {
        self.offers.admit(mail)?;
        let is_fresh = self.state == State::Ready;
        let commands = || Command::ALL.into_iter().skip(usize::from(is_fresh));
        self.state = State::Unusable;
        self.mails += 1;
        if self.offers.pipelining() {
            commands().for_each(|command| self.queue(command, mail));
            self.send(Stage::Mail).await?;
        }
        // The first refusal counts; those that follow from it are read, so that each reply belongs to its command.
        let mut refusal = None;
        let mut awaits_message = false;
        for command in commands() {
            if !self.offers.pipelining() {
                if refusal.is_some() {
                    break;
                }
                self.queue(command, mail);
                self.send(command.stage()).await?;
            }
            match self.answer(command).await {
                Ok(()) => awaits_message = command == Command::Data,
                Err(failure) if leaves_session_usable(&failure) => _ = refusal.get_or_insert(failure),
                Err(failure) => return Err(refusal.unwrap_or(failure)),
            }
        }
        let Some(refusal) = refusal else { return Ok(()) };
        if !awaits_message || self.send_nothing().await.is_ok() {
            self.state = State::Reset;
        }
        Err(refusal)
    }

    /// The message and the terminator, after `begin`.
    pub(super) async fn finish(&mut self, mail: &Mail<'_>) -> Result<Reply, Failure> {
        self.wire.fill(|output| stuffing::stuff(mail.message, output));
        self.send(Stage::Data).await?;
        let outcome = self.wire.expect(Stage::Dot, Reply::is_success).await;
        match &outcome {
            Ok(_) => self.state = State::Ready,
            Err(failure) if leaves_session_usable(failure) => self.state = State::Reset,
            Err(_) => {}
        }
        outcome
    }

    /// Says QUIT without waiting.
    pub(super) fn say_quit(&mut self) {
        self.wire.say_quit();
    }

    /// Waits for the reply to QUIT.
    pub(super) async fn wait_for_goodbye(&mut self, limit: Duration) {
        let _ = self.wire.reply(limit).await;
    }

    fn queue(&mut self, command: Command, mail: &Mail<'_>) {
        let Self { wire, offers, .. } = self;
        match command {
            Command::Rset => wire.queue(format_args!("RSET")),
            Command::Mail => {
                let size = offers.size().then(|| stuffing::size(mail.message));
                let size = from_fn(|f| size.map_or(Ok(()), |size| write!(f, " SIZE={size}")));
                let body = if mail.is_8bit && offers.eight_bit() { " BODY=8BITMIME" } else { "" };
                let utf8 = if mail.sender.needs_utf8() || mail.recipient.needs_utf8() { " SMTPUTF8" } else { "" };
                wire.queue(format_args!("MAIL FROM:<{}>{size}{body}{utf8}", mail.sender));
            }
            Command::Rcpt => wire.queue(format_args!("RCPT TO:<{}>", mail.recipient)),
            Command::Data => wire.queue(format_args!("DATA")),
        }
    }

    async fn send(&mut self, stage: Stage) -> Result<(), Failure> {
        self.wire.send().await.map_err(|cause| Failure::new(stage, cause))
    }

    async fn answer(&mut self, command: Command) -> Result<(), Failure> {
        let reply = match command {
            Command::Data => self.wire.expect(Stage::Data, |reply| reply.code() == 354).await,
            _ => self.wire.expect(command.stage(), Reply::is_success).await,
        };
        match reply {
            // A server that refuses RSET is in no state that can be relied on.
            Err(failure) if command == Command::Rset => {
                let cause = failure.refusal().map_or_else(|| failure.cause().clone(), Cause::OutOfPlace);
                Err(Failure::new(Stage::Mail, cause))
            }
            reply => reply.map(drop),
        }
    }

    /// Ends a message that the server asked for although it refused sender or recipient.
    async fn send_nothing(&mut self) -> Result<(), Failure> {
        self.wire.queue(format_args!("."));
        self.send(Stage::Data).await?;
        match self.wire.expect(Stage::Dot, Reply::is_success).await {
            Err(failure) if !leaves_session_usable(&failure) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Whether the dialogue can go on: the server refused, and did not announce that it closes the connection.
fn leaves_session_usable(failure: &Failure) -> bool {
    failure.refusal().is_some_and(|reply| !reply.is_goodbye())
}
