//! A record on its way into librdkafka's queue.

/// One header: name and value.
pub type Header<'a> = (&'a str, &'a [u8]);

/// What is sent: borrowed from the caller, because librdkafka copies it into its queue.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Decides the partition; an empty key is no key.
    pub key: &'a [u8],
    /// The event.
    pub payload: &'a [u8],
    /// Headers in order.
    pub headers: &'a [Header<'a>],
}

impl Record<'_> {
    /// Most bytes that it takes in a request, by librdkafka's reckoning (`rd_kafka_msg_max_wire_size`).
    pub fn wire_size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| prefixed(name.len()) + prefixed(value.len()));
        MAX_OVERHEAD + self.key.len() + self.payload.len() + headers.sum::<usize>()
    }
}

/// All that a record of format 2 has besides key, value and headers (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`).
const MAX_OVERHEAD: usize = 36;

/// Size with the length in front, a zigzag varint (Kafka's record format, "Record Header").
fn prefixed(length: usize) -> usize {
    let bits = usize::BITS - (length << 1).leading_zeros();
    length + (bits.max(1).div_ceil(7) as usize)
}

/// A record that outlives its caller's buffers, while it waits: one allocation, because there may
/// be very many.
pub struct OwnedRecord {
    /// Topic, key, payload, then name and value of each header, end to end.
    bytes: Box<[u8]>,
    /// Where each of them ends.
    ends: Box<[u32]>,
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> Self {
        let headers = record.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
        let parts = [record.topic.as_bytes(), record.key, record.payload].into_iter().chain(headers);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(3 + 2 * record.headers.len()));
        for part in parts {
            bytes.extend_from_slice(part);
            // librdkafka takes no record that is anywhere near 4 GiB.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        Self { bytes: bytes.into(), ends: ends.into() }
    }
}

impl OwnedRecord {
    /// Topic name.
    pub fn topic(&self) -> &str {
        self.parts().next().map_or("", text)
    }

    /// Hands the record over as a borrowed one.
    pub fn with_borrowed<R>(&self, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
        let mut parts = self.parts();
        let mut next = || parts.next().unwrap_or_default();
        let (topic, key, payload) = (text(next()), next(), next());
        let mut headers = Vec::with_capacity(self.ends.len() / 2);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            headers.push((text(name), value));
        }
        use_record(&Record { topic, key, payload, headers: &headers })
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(self.ends.iter())
            .map(|(start, end)| self.bytes.get(start as usize..*end as usize).unwrap_or_default())
    }
}

/// Text that was text when it was taken over.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_zigzag_varints() {
        assert_eq!([0, 63, 64, 8191, 8192].map(|length| prefixed(length) - length), [1, 1, 2, 2, 3]);
    }
}
