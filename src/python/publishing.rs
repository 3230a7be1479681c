//! How events are published: for coroutines, which await promises, and for threads, which have handles.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit};

use super::batch::{Batch, Encoded};
use super::draft::{Draft, Kind, OwnHeaders};
use super::encoder::with_buffer;
use super::handle::Handle;
use super::mailbox::Mailbox;
use super::metadata::NotEncoded;
use super::producer::ProducerRef;
use super::promise::{Promise, Withdraw};
use super::results::Results;
use super::{exceptions, lines};
use crate::handover::Ticket;
use crate::producer::{Accepted, LateValue};

/// Takes events back that wait for space in the queue.
struct Withdrawal {
    producer: Py<ProducerRef>,
    tickets: HashSet<Ticket>,
    /// That of the loop whose coroutines await them; None where they have handles.
    mailbox: Option<Py<Mailbox>>,
}

impl Withdraw for Withdrawal {
    fn withdraw(&self, py: Python<'_>) -> PyResult<()> {
        let producer = self.producer.get().native(py)?;
        for ticket in producer.withdraw(&self.tickets) {
            match &self.mailbox {
                Some(mailbox) => drop(mailbox.get().forget(ticket)),
                None => producer.calls().forget(ticket),
            }
        }
        Ok(())
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.producer)?;
        visit.call(&self.mailbox)
    }
}

/// Encodes an event by `write`, which returns its key, and lets `publish` publish it; None means that Pydantic has to decide.
/// `keep` makes what is kept while the event waits.
pub(super) fn encoded<'k, R>(
    max_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>, usize) -> Result<&'k [u8], NotEncoded>,
    keep: &dyn Fn() -> Option<Box<dyn LateValue>>,
    headers: Option<&OwnHeaders>,
    id: Option<&str>,
    publish: impl FnOnce(&Draft<'_>) -> PyResult<R>,
) -> PyResult<Option<R>> {
    with_buffer(|value| match write(value, max_bytes) {
        Ok(key) => publish(&Draft::new(key, value, headers, id, keep)).map(Some),
        Err(NotEncoded::Uncertain) => Ok(None),
        Err(NotEncoded::TooLarge) => publish(&Draft::too_large(id)).map(Some),
    })
}

/// Publishes for a coroutine, which awaits the promise.
pub(super) fn enqueue<'py>(
    producer_ref: &Bound<'py, ProducerRef>,
    kind: &Kind<'_, 'py>,
    draft: &Draft<'_>,
) -> PyResult<Bound<'py, Promise>> {
    let (py, this) = (producer_ref.py(), producer_ref.get());
    let (producer, mailbox) = this.attached(py)?;
    let id = this.id(draft.id());
    let (promise, ticket) = mailbox.get().register(py, kind.under_way(id.clone()))?;
    match draft.hand_over(producer, this.source(), kind, &id, ticket)? {
        Ok(Accepted::Queued) => Ok(promise),
        Ok(Accepted::Waiting) => {
            let (producer, tickets) = (producer_ref.clone().unbind(), HashSet::from([ticket]));
            promise.get().withdraw_when_cancelled(Withdrawal { producer, tickets, mailbox: Some(mailbox) });
            Ok(promise)
        }
        Err(failure) => Err(mailbox.get().refuse(py, ticket, &failure)),
    }
}

/// Publishes for a thread without an event loop. `may_wait`: the event may wait for space in the queue.
///
/// # Errors
/// The exception of an event that is refused.
pub(super) fn call(
    producer_ref: &Bound<'_, ProducerRef>,
    kind: &Kind<'_, '_>,
    draft: &Draft<'_>,
    may_wait: bool,
) -> PyResult<Result<Handle, Py<PyAny>>> {
    let (py, this) = (producer_ref.py(), producer_ref.get());
    let producer = this.native(py)?;
    let calls = producer.calls();
    lines::write(py, calls)?;
    let id = this.id(draft.id());
    let event = kind.under_way(id.clone());
    let (call, ticket) = calls.begin();
    let failure = match draft.hand_over(producer, this.source(), kind, &id, ticket)? {
        Ok(Accepted::Queued) => return Ok(Ok(Handle::accepted(event, call, calls, None))),
        Ok(Accepted::Waiting) => {
            let full = if may_wait { None } else { producer.queue_full() };
            let tickets = HashSet::from([ticket]);
            let Some(full) = full.filter(|_| !producer.withdraw(&tickets).is_empty()) else {
                let withdrawal = Withdrawal { producer: producer_ref.clone().unbind(), tickets, mailbox: None };
                return Ok(Ok(Handle::accepted(event, call, calls, Some(Box::new(withdrawal)))));
            };
            full
        }
        Err(failure) => failure,
    };
    calls.forget(ticket);
    let exception = exceptions::from_failure(py, &failure, Some(&event))?;
    event.log_refusal(py, &failure, &exception)?;
    Ok(Err(exception.unbind()))
}

/// As [`call`], for one event: that it is refused is raised.
pub(super) fn call_one(
    producer_ref: &Bound<'_, ProducerRef>,
    kind: &Kind<'_, '_>,
    draft: &Draft<'_>,
    may_wait: bool,
) -> PyResult<Handle> {
    let refused = |exception: Py<PyAny>| PyErr::from_value(exception.into_bound(producer_ref.py()));
    call(producer_ref, kind, draft, may_wait)?.map_err(refused)
}

/// Publishes `count` events of a batch from `first` on, for a coroutine; returns a promise of the list of their results.
pub(super) fn enqueue_batch<'py>(
    producer_ref: &Bound<'py, ProducerRef>,
    topic: &Bound<'py, PyString>,
    batch: &Batch,
    (first, count): (usize, usize),
    headers: Option<&OwnHeaders>,
) -> PyResult<Bound<'py, Promise>> {
    let (py, this) = (producer_ref.py(), producer_ref.get());
    let (producer, mailbox) = this.attached(py)?;
    let promise = mailbox.get().promise(py)?;
    let count = count.min(batch.__len__().saturating_sub(first));
    let results = Bound::new(py, Results::new(promise.clone().unbind(), count))?;
    let mut tickets = HashSet::new();
    for (index, event) in batch.from(first).take(count).enumerate() {
        let id = this.id(None);
        let event_type = &PyString::intern(py, event.email_type.as_str());
        let kind = Kind::new(topic, event_type);
        let ticket = mailbox.get().register_part(&results, index, kind.under_way(id.clone()));
        let (value, keep) = (event.value(), || Some(event.keep()));
        let draft = Draft::of_batch(event.key, value.as_deref(), headers, &keep);
        match draft.hand_over(producer, this.source(), &kind, &id, ticket)? {
            Ok(Accepted::Queued) => {}
            Ok(Accepted::Waiting) => drop(tickets.insert(ticket)),
            Err(failure) => {
                let refusal = mailbox.get().refuse(py, ticket, &failure);
                results.get().put(index, refusal.into_value(py).into_bound(py).into_any())?;
            }
        }
    }
    if !tickets.is_empty() {
        let (producer, mailbox) = (producer_ref.clone().unbind(), Some(mailbox));
        promise.get().withdraw_when_cancelled(Withdrawal { producer, tickets, mailbox });
    }
    Ok(promise)
}

/// Publishes all events of a batch for a thread without an event loop. Those that are refused have failed handles.
pub(super) fn call_batch(
    producer_ref: &Bound<'_, ProducerRef>,
    topic: &Bound<'_, PyString>,
    batch: &Batch,
    headers: Option<&OwnHeaders>,
    may_wait: bool,
) -> PyResult<Vec<Handle>> {
    let publish = |event: Encoded<'_>| {
        let event_type = &PyString::intern(producer_ref.py(), event.email_type.as_str());
        let kind = Kind::new(topic, event_type);
        let (value, keep) = (event.value(), || Some(event.keep()));
        let draft = Draft::of_batch(event.key, value.as_deref(), headers, &keep);
        let handle = call(producer_ref, &kind, &draft, may_wait)?;
        Ok(handle.unwrap_or_else(|exception| Handle::refused(kind.under_way(producer_ref.get().id(None)), exception)))
    };
    batch.from(0).map(publish).collect()
}
