//! One attempt at a record: decode, render, build, and send; or call a handler.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::engine::attempt::{AttemptResult, Failure, Message, SmtpCause, Work};
use super::engine::record::{Event, Poison, Record};
use super::job::{Answer, Job, Jobs};
use super::news::{Listener, News};
use super::report::unfit_line;
use crate::mail::{self, Catalogue, Draft, Sender, Values};
use crate::smtp::{self, Cause, Envelope, Pool};

const MILLIS: i64 = 1000;
/// The reply that stands for a mail that was written to a file.
const STORED: u16 = 250;

/// Where mails go.
pub(super) enum Outlet {
    /// A mail server.
    Smtp(Box<Pool>),
    /// A folder, as `.eml` files.
    Folder(PathBuf),
}

/// Everything that an attempt needs.
pub(super) struct Delivery {
    pub(super) catalogue: Catalogue,
    pub(super) sender: Sender,
    pub(super) envelope_from: String,
    pub(super) outlet: Outlet,
    pub(super) handler_timeout: Duration,
    pub(super) jobs: RefCell<Jobs>,
    pub(super) listener: Arc<dyn Listener>,
}

impl Delivery {
    /// Makes one attempt. Dropping the future ends it: its connection is closed, its handler cancelled.
    pub(super) async fn attempt(self: Rc<Self>, record: Arc<Record>, attempt: u32, work: Work) -> AttemptResult {
        match work {
            Work::Mail => match guarded(|| self.prepare(&record)) {
                Ok((recipient, message)) => self.send(&record, &recipient, &message).await,
                Err(unfit) => self.refuse(&record, unfit),
            },
            Work::Send(message) => match guarded(|| Ok(record.decode()?.recipient)) {
                Ok(recipient) => self.send(&record, &recipient, &message.0).await,
                Err(unfit) => self.refuse(&record, unfit),
            },
            Work::Handle(handler) => self.call(record, attempt, handler).await,
        }
    }

    /// Says why a record cannot become a mail: the engine knows only the stage.
    fn refuse(&self, record: &Record, Unfit { failure, why }: Unfit) -> AttemptResult {
        self.listener.tell(News::Line(unfit_line(record, failure, &why)));
        AttemptResult::Failed(failure)
    }

    /// The recipient and the message.
    fn prepare(&self, record: &Record) -> Result<(String, Vec<u8>), Unfit> {
        let event = record.decode()?;
        let email_type = if event.email_type.is_empty() { record.event_type() } else { event.email_type.as_str() };
        let values = Values {
            email_type,
            recipient: &event.recipient,
            username: &event.username,
            link: &event.link,
            metadata: &event.metadata,
            now: record.timestamp_ms().div_euclid(MILLIS),
        };
        let rendered = self.catalogue.render(&values).map_err(|error| Unfit::new(Failure::NotRendered, &error))?;
        let message = self.build(&Draft::from(rendered), record, &event)?;
        Ok((event.recipient, message))
    }

    fn build(&self, draft: &Draft, record: &Record, event: &Event) -> Result<Vec<u8>, Unfit> {
        let list_unsubscribe = event.metadata.get("list_unsubscribe").and_then(serde_json::Value::as_str);
        let date = record.timestamp_ms().div_euclid(MILLIS);
        mail::build(draft, &self.sender, &message_id(record), &event.recipient, date, list_unsubscribe)
            .map_err(|error| Unfit::new(Failure::NotBuilt, &error))
    }

    async fn send(&self, record: &Record, recipient: &str, message: &[u8]) -> AttemptResult {
        match &self.outlet {
            Outlet::Smtp(pool) => {
                let envelope = Envelope { sender: &self.envelope_from, recipient };
                match pool.deliver(envelope, message).await {
                    Ok(reply) => AttemptResult::Accepted(reply.code()),
                    Err(failure) => AttemptResult::Failed(failure_of(&failure)),
                }
            }
            Outlet::Folder(folder) => match write_mail(folder, &message_id(record), message) {
                Ok(()) => AttemptResult::Accepted(STORED),
                Err(_) => AttemptResult::Failed(Failure::Smtp {
                    stage: smtp::Stage::Connect,
                    cause: SmtpCause::Closed,
                    is_after_terminator: false,
                }),
            },
        }
    }

    async fn call(&self, record: Arc<Record>, attempt: u32, handler: usize) -> AttemptResult {
        let event = match guarded(|| Ok(record.decode()?)) {
            Ok(event) => event,
            Err(unfit) => return self.refuse(&record, unfit),
        };
        let (number, answered) = Jobs::begin(&self.jobs);
        let call = Call { delivery: self, number };
        let job = Job { number, handler, event: event.clone(), record: Arc::clone(&record), attempt };
        self.listener.tell(News::Call(Box::new(job)));
        let answer = match tokio::time::timeout(self.handler_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::Failed,
            Err(_) => return AttemptResult::Failed(Failure::HandlerTimeout),
        };
        drop(call);
        match answer {
            Answer::Handled => AttemptResult::Handled,
            Answer::Mail(draft) => match guarded(|| self.build(&draft, &record, &event)) {
                Ok(message) => AttemptResult::Composed(Message(message.into())),
                Err(unfit) => self.refuse(&record, unfit),
            },
            Answer::Retry(delay) => AttemptResult::Failed(Failure::HandlerRetry(delay)),
            Answer::Permanent => AttemptResult::Failed(Failure::HandlerPermanent),
            Answer::Drop => AttemptResult::Dropped,
            Answer::Failed => AttemptResult::Failed(Failure::HandlerFailed),
        }
    }
}

/// A call of a handler that is under way. Dropped before its answer, it cancels the handler.
struct Call<'a> {
    delivery: &'a Delivery,
    number: u64,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if Jobs::forget(&self.delivery.jobs, self.number).is_some() {
            self.delivery.listener.tell(News::Cancel(self.number));
        }
    }
}

/// A record that cannot become a mail, and why. The text holds no personal data.
struct Unfit {
    failure: Failure,
    why: String,
}

impl Unfit {
    fn new(failure: Failure, why: &dyn ToString) -> Self {
        Self { failure, why: why.to_string() }
    }
}

impl From<Poison> for Unfit {
    fn from(poison: Poison) -> Self {
        Self::new(poison.into(), &poison)
    }
}

/// A panic of the preparation concerns this record alone.
fn guarded<T>(prepare: impl FnOnce() -> Result<T, Unfit>) -> Result<T, Unfit> {
    let panicked = |_| Err(Unfit::new(Failure::PreparationPanicked, &"the worker panicked over it: report this"));
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(panicked)
}

/// The event's id, or for a record without one its place.
fn message_id(record: &Record) -> String {
    match record.event_id() {
        Some(id) => id.to_string(),
        None => format!("{}.{}.{}", record.partition().topic(), record.partition().number(), record.id().offset),
    }
}

/// Writes the mail beside its place and moves it there, so that nobody reads half of it.
fn write_mail(folder: &Path, id: &str, message: &[u8]) -> std::io::Result<()> {
    let name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    std::fs::create_dir_all(folder)?;
    let partial = folder.join(format!(".{name}.partial"));
    std::fs::write(&partial, message)?;
    std::fs::rename(&partial, folder.join(format!("{name}.eml")))
}

fn failure_of(failure: &smtp::Failure) -> Failure {
    let cause = match failure.cause() {
        Cause::Refused(reply) => SmtpCause::Refused(*reply),
        Cause::OutOfPlace(reply) => SmtpCause::OutOfPlace(*reply),
        Cause::Timeout => SmtpCause::Timeout,
        Cause::Closed | Cause::Io(_) | Cause::HostNotFound => SmtpCause::Closed,
        Cause::Malformed => SmtpCause::Malformed,
        Cause::Tls(_) => SmtpCause::Tls,
        Cause::NoStartTls => SmtpCause::NoStartTls,
        Cause::NoMechanism => SmtpCause::NoMechanism,
        Cause::CleartextRefused => SmtpCause::CleartextRefused,
        Cause::NoToken => SmtpCause::NoToken,
        Cause::TooLarge { .. } => SmtpCause::TooLarge,
        Cause::Utf8NotOffered => SmtpCause::Utf8NotOffered,
        Cause::InvalidAddress => SmtpCause::InvalidAddress,
    };
    Failure::Smtp { stage: failure.stage(), cause, is_after_terminator: failure.is_after_terminator() }
}
