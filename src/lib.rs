//! The native half of the Python package `kafka_email`: a table of contents.
//!
//! [`kafka`] and [`email`] know no Python; [`python`] only translates.

pub mod email;
pub mod kafka;
pub mod python;

pub use python::_core;
