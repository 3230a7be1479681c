//! Lives of records and whole workers, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod model;
mod rows;
mod scene;
mod transitions;
mod verdicts;
mod world;
