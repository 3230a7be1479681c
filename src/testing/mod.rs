//! What tests use.

pub mod embedded_broker;
