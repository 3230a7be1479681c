//! From many threads to one event loop.

pub mod handover;

/// What locks are made of; where loom tries every order of the threads, it has its own.
mod sync {
    pub use std::sync::atomic::{AtomicBool, Ordering};

    pub use parking_lot::Mutex;
}
