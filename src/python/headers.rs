//! The headers of a record: those of `CloudEvents` in binary mode, before the caller's own.

use crate::kafka::librdkafka::Header;

/// The headers of an event.
///
/// Names: `CloudEvents` 1.0, Kafka protocol binding, section 3.2.
pub(super) fn cloud_event<'a>(id: &'a [u8], event_type: &'a str, source: &'a str) -> [Header<'a>; 5] {
    [
        ("ce_specversion", b"1.0"),
        ("ce_id", id),
        ("ce_type", event_type.as_bytes()),
        ("ce_source", source.as_bytes()),
        ("content-type", b"application/json"),
    ]
}
