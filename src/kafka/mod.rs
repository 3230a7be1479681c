//! What producer and worker both say about a cluster.

pub mod broker_errors;
pub mod failure;
pub mod health;
pub mod librdkafka;
pub mod log_line;
