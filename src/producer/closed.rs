//! The failure of everything that comes after a stop.

use crate::kafka::failure::{Failure, Kind};

pub(super) fn closed() -> Failure {
    Failure::new(Kind::CLOSED, "the producer is stopped: call `await kafka_manager.start()` before publishing")
}
