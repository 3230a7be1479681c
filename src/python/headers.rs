//! The headers of a record: `CloudEvents` in binary mode, few and short, then the caller's.

use crate::kafka::record::Header;

/// Writes the headers of an event into `headers`.
///
/// Names: `CloudEvents` 1.0, Kafka protocol binding, section 3.2.
pub fn cloud_event<'a>(headers: &mut Vec<Header<'a>>, id: &'a [u8], event_type: &'a str, source: &'a str) {
    headers.extend([
        ("ce_specversion", b"1.0".as_slice()),
        ("ce_id", id),
        ("ce_type", event_type.as_bytes()),
        ("ce_source", source.as_bytes()),
        ("content-type", b"application/json".as_slice()),
    ]);
}
