//! The native half of the Python package `kafka_email`: a table of contents.
//!
//! Only [`python`] knows Python, and it only translates.

pub mod email;
pub mod handover;
pub mod kafka;
pub mod monitoring;
pub mod producer;
pub mod python;
pub mod testing;

pub use python::_core;
