//! librdkafka's error codes: Kafka's own, and librdkafka's below zero.

use std::ffi::CStr;

use rdkafka::bindings as sys;
pub(crate) use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

/// What Kafka calls the error, such as `REBALANCE_IN_PROGRESS`; librdkafka's own begin with `_`.
pub(crate) fn name_of(code: Code) -> &'static str {
    let Ok(code) = RDKafkaRespErr::try_from(code as i32) else { return "UNKNOWN" };
    // SAFETY: librdkafka returns a text of its own, which it never frees, for each of its codes.
    let name = unsafe { CStr::from_ptr(sys::rd_kafka_err2name(code)) };
    name.to_str().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use super::{name_of, Code};

    #[test]
    fn the_names_are_those_of_kafka() {
        assert_eq!(name_of(Code::RebalanceInProgress), "REBALANCE_IN_PROGRESS");
        assert_eq!(name_of(Code::BrokerTransportFailure), "_TRANSPORT");
    }
}
