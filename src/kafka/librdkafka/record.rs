//! A record on its way into librdkafka's queue.

/// Name and value of one header.
pub type Header<'a> = (&'a str, &'a [u8]);

/// What is produced. It is borrowed from the caller, because librdkafka copies it into its queue.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Decides the partition; an empty key is no key.
    pub key: &'a [u8],
    /// Value of the record.
    pub payload: &'a [u8],
    /// Headers in order.
    pub headers: &'a [Header<'a>],
}

impl Record<'_> {
    /// The most bytes that the record takes in a request, as librdkafka counts them (`rd_kafka_msg_max_wire_size`).
    pub(crate) fn wire_size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| prefixed(name.len()) + prefixed(value.len()));
        MAX_OVERHEAD + self.key.len() + self.payload.len() + headers.sum::<usize>()
    }
}

/// Everything in a record of format 2 besides key, value and headers (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`).
const MAX_OVERHEAD: usize = 36;

/// Size of a field with its length in front, a zigzag varint (Kafka's record format, "Record Header").
fn prefixed(length: usize) -> usize {
    let bits = usize::BITS - (length << 1).leading_zeros();
    length + (bits.max(1).div_ceil(7) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_zigzag_varints() {
        assert_eq!([0, 63, 64, 8191, 8192].map(|length| prefixed(length) - length), [1, 1, 2, 2, 3]);
    }
}
