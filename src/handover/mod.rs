//! From many threads to one event loop, without a thread of ours ever entering Python.
//!
//! A [`Handover`] collects items for one loop and rings a [`Bell`] when the loop has to look; [`SocketBell`] is the bell
//! that an event loop watches. A [`Ticket`] names the place where an outcome goes: which loop, and which waiter there.
//!
//! loom runs [`Handover`] in every order in which its threads may meet. The package `tests/handover` compiles this
//! folder as a library of its own, with `cfg(loom)` and without librdkafka and Python.

mod bell;
#[allow(clippy::module_inception)]
mod handover;
#[cfg(all(test, loom))]
mod orders;
mod ticket;

pub(crate) use bell::SocketBell;
pub(crate) use handover::{Handover, OnSettled};
pub(crate) use ticket::Ticket;
