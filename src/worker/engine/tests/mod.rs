//! Lives of records and whole workers, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod bounds;
mod breakers;
mod checks;
mod cluster;
mod giving_up;
mod leaving;
mod model;
mod positions;
mod scene;
mod transitions;
mod verdicts;
mod world;
