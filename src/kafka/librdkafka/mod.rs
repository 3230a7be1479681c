//! All raw librdkafka calls.

pub mod client;
pub mod event;
pub mod record;
pub mod token;
