//! A record that outlives its caller's buffers while it waits.

use crate::kafka::librdkafka::Record;

/// A value of this size or more is not copied, if it can be made again.
pub(crate) const LARGE: usize = 4096;

/// A large value that can be made again, by any thread. Many events may share what it is made of.
pub trait LateValue: Send + Sync {
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
}

/// A copy of a record, in two allocations, because very many records may wait.
pub struct OwnedRecord {
    /// Topic, key, value unless it is made later, then name and value of each header, end to end.
    bytes: Box<[u8]>,
    /// Where each of them ends.
    ends: Box<[u32]>,
    late: Option<Box<dyn LateValue>>,
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> Self {
        Self::new(record, || None)
    }
}

impl OwnedRecord {
    /// Copies a record; asks for a way to make its value again if that is large.
    pub(super) fn new(record: &Record<'_>, keep: impl FnOnce() -> Option<Box<dyn LateValue>>) -> Self {
        let late = if record.payload.len() < LARGE { None } else { keep() };
        let payload = if late.is_some() { &[] } else { record.payload };
        let headers = record.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
        let parts = [record.topic.as_bytes(), record.key, payload].into_iter().chain(headers);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(3 + 2 * record.headers.len()));
        for part in parts {
            bytes.extend_from_slice(part);
            // librdkafka takes no record that is anywhere near 4 GiB.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        Self { bytes: bytes.into(), ends: ends.into(), late }
    }

    /// Lends the record as a borrowed one.
    pub(super) fn with_borrowed<R>(&self, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
        let mut parts = self.parts();
        let mut next = || parts.next().unwrap_or_default();
        let (topic, key, copied) = (text(next()), next(), next());
        let mut headers = Vec::with_capacity(self.ends.len() / 2);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            headers.push((text(name), value));
        }
        let mut made = Vec::new();
        if let Some(late) = &self.late {
            late.write(&mut made);
        }
        let payload = if self.late.is_some() { &made } else { copied };
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Letters(u8);

    impl LateValue for Letters {
        fn write(&self, out: &mut Vec<u8>) {
            out.extend([self.0; LARGE]);
        }
    }

    #[test]
    fn a_large_value_is_made_again_each_time_and_a_small_one_is_copied() {
        let headers = [("h", b"v".as_slice())];
        let large = Record { topic: "t", key: b"k", payload: &[b'a'; LARGE], headers: &headers };
        let owned = OwnedRecord::new(&large, || Some(Box::new(Letters(b'b'))));
        for _ in 0..2 {
            owned.with_borrowed(|record| {
                assert_eq!(
                    (record.topic, record.key, record.payload),
                    ("t", b"k".as_slice(), [b'b'; LARGE].as_slice())
                );
                assert_eq!(record.headers, headers);
            });
        }
        let small = Record { payload: b"p", ..large };
        OwnedRecord::new(&small, || unreachable!()).with_borrowed(|record| assert_eq!(record.payload, b"p"));
    }
}
