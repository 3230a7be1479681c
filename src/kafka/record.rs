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

/// A record that outlives its caller's buffers, while it waits for space in the queue.
pub struct OwnedRecord {
    topic: Box<str>,
    key: Box<[u8]>,
    payload: Box<[u8]>,
    headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> Self {
        Self {
            topic: record.topic.into(),
            key: record.key.into(),
            payload: record.payload.into(),
            headers: record.headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }
}

impl OwnedRecord {
    /// Topic name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hands the record over as a borrowed one.
    pub fn with_borrowed<R>(&self, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
        let headers: Vec<Header<'_>> = self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        use_record(&Record { topic: &self.topic, key: &self.key, payload: &self.payload, headers: &headers })
    }
}
