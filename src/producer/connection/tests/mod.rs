//! Lives of a connection, in microseconds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod arrows;
mod life;
mod lives;
mod probes;
mod scenes;
