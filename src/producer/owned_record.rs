//! A record that outlives its caller's buffers while it waits.

use crate::kafka::librdkafka::Record;

/// A copy of a record, in two allocations, because very many records may wait.
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
    /// Lends the record as a borrowed one.
    pub(super) fn with_borrowed<R>(&self, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
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

/// These bytes came from a `&str`, so the check cannot fail.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
