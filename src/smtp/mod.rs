//! An SMTP client: it passes one mail after the other to a mail server and says what became of each.
//!
//! A [`Pool`] keeps sessions open. [`Pool::deliver`] takes an [`Envelope`] and a message, and returns the server's
//! [`Reply`] to the final dot or a [`Failure`]: the [`Stage`] at which it happened, its [`Cause`], and whether the server
//! had the whole mail by then. What follows from a failure is for the caller to say.
//!
//! Dropping the future of a delivery at any time closes its session, so that no reply is taken for the answer to the
//! command of another mail. The text of a reply is never kept, since it may contain addresses.

mod authentication;
mod envelope;
mod failure;
mod handshake;
mod offers;
mod pool;
mod reply;
mod session;
mod settings;
mod stage;
mod statistics;
mod stuffing;
#[cfg(test)]
mod tests;
mod trust;
mod wire;

pub use envelope::Envelope;
pub use failure::{Cause, Failure};
pub use pool::Pool;
pub use reply::Reply;
pub use settings::Settings;
pub use stage::Stage;
