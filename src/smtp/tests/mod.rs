//! The client against servers on loopback that follow a script.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cancellation;
mod fragments;
mod handshake;
mod reuse;
mod server;
mod transaction;
