//! A librdkafka consumer that is a member of a group, by its raw calls.
//!
//! rdkafka's safe consumer is not used: its `drop` polls without a limit until the group has let it go, its synchronous
//! commit has no deadline, and it hands a rebalance to a callback where everything else is an event. Here a rebalance is
//! an event as well: the caller answers it, later, by [`Consumer::assign`] or [`Consumer::unassign`].

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::{Client as BaseClient, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaType};

use super::client::{milliseconds, Queue};
use super::consumer_event::{elements, ConsumerEvent, PartitionNames};
use super::event::RawEvent;
use super::partition::{Position, TopicPartition};
use super::token::{give, Token};

/// How long a poll waits while the consumer closes.
const CLOSING_POLL: Duration = Duration::from_millis(20);

/// A librdkafka consumer. Any thread may call any method.
///
/// Dropped without [`Self::close`], it does not leave its group, which notices after a session's length.
pub(crate) struct Consumer {
    queue: ManuallyDrop<Queue>,
    base: ManuallyDrop<BaseClient<DefaultClientContext>>,
}

impl Consumer {
    /// Creates the consumer, which connects in librdkafka's own threads, and joins its group for `topics`.
    ///
    /// # Errors
    /// When a property is unknown, impossible, or names a file that cannot be used.
    pub(crate) fn create(config: &ClientConfig, topics: &[&str]) -> Result<Self, KafkaError> {
        let consumer = Self::alone(config)?;
        consumer.subscribe(topics).map_err(|code| KafkaError::Subscription(code.to_string()))?;
        Ok(consumer)
    }

    /// Creates a consumer that joins no group: its caller chooses the partitions, with [`Self::read`].
    ///
    /// # Errors
    /// As in [`Self::create`].
    pub(crate) fn alone(config: &ClientConfig) -> Result<Self, KafkaError> {
        let native_config = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_FETCH
            | sys::RD_KAFKA_EVENT_REBALANCE
            | sys::RD_KAFKA_EVENT_OFFSET_COMMIT
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        // SAFETY: the configuration is alive, and used by this thread alone.
        unsafe { sys::rd_kafka_conf_set_events(native_config.ptr(), events) };
        #[cfg(unix)]
        super::resolver::install(&native_config);
        let base = BaseClient::new(config, native_config, RDKafkaType::RD_KAFKA_CONSUMER, DefaultClientContext)?;
        // SAFETY: the client is alive. Everything that it reports now comes through the consumer's queue.
        unsafe { sys::rd_kafka_poll_set_consumer(base.native_ptr()) };
        // SAFETY: the client is alive; the queue is given back before the client is destroyed.
        let queue = Queue(unsafe { sys::rd_kafka_queue_get_consumer(base.native_ptr()) });
        Ok(Self { queue: ManuallyDrop::new(queue), base: ManuallyDrop::new(base) })
    }

    fn subscribe(&self, topics: &[&str]) -> Result<(), Code> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are alive; librdkafka copies the list.
        ok(unsafe { sys::rd_kafka_subscribe(self.base.native_ptr(), list.ptr()) }.into())
    }

    /// Waits up to `timeout` for one event.
    pub(crate) fn poll(&self, timeout: Duration, names: &mut PartitionNames) -> Option<ConsumerEvent> {
        // SAFETY: the queue is alive; the event is ours.
        let event = unsafe { RawEvent::take(sys::rd_kafka_queue_poll(self.queue.0, milliseconds(timeout))) }?;
        ConsumerEvent::decode(event, names, || self.assignment_is_lost())
    }

    /// Takes partitions that the group assigned; librdkafka begins to fetch them.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn assign(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list_of(partitions);
        // SAFETY: client and list are alive; the error is ours, or null.
        unsafe { end_error(sys::rd_kafka_incremental_assign(self.base.native_ptr(), list.ptr())) }
    }

    /// Gives partitions back to the group, which waits for it.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list_of(partitions);
        // SAFETY: as in `assign`.
        unsafe { end_error(sys::rd_kafka_incremental_unassign(self.base.native_ptr(), list.ptr())) }
    }

    /// Fetches these partitions from these positions on, without a group. A negative offset is the beginning.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn read(&self, positions: &[Position]) -> Result<(), Code> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for Position { partition, offset, .. } in positions {
            let offset = if *offset < 0 { Offset::Beginning } else { Offset::Offset(*offset) };
            list.add_partition_offset(&partition.topic, partition.partition, offset)
                .map_err(|_| Code::InvalidArgument)?;
        }
        // SAFETY: client and list are alive; librdkafka copies the list.
        ok(unsafe { sys::rd_kafka_assign(self.base.native_ptr(), list.ptr()) }.into())
    }

    /// The first and the next offset of each partition of a topic. Blocks up to `timeout` for each.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn extent(&self, topic: &str, timeout: Duration) -> Result<Vec<(TopicPartition, i64, i64)>, Code> {
        let code_of = |error: KafkaError| error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let metadata = self.base.fetch_metadata(Some(topic), timeout).map_err(code_of)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or(Code::UnknownTopic)?;
        if let Some(error) = found.error() {
            return Err(error.into());
        }
        let name: Arc<str> = topic.into();
        let extent_of = |partition: i32| {
            let (low, high) = self.base.fetch_watermarks(topic, partition, timeout).map_err(code_of)?;
            Ok((TopicPartition { topic: Arc::clone(&name), partition }, low, high))
        };
        found.partitions().iter().map(|partition| extent_of(partition.id())).collect()
    }

    /// Fetches no more of these partitions.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list_of(partitions);
        // SAFETY: client and list are alive.
        ok(unsafe { sys::rd_kafka_pause_partitions(self.base.native_ptr(), list.ptr()) }.into())
    }

    /// Fetches these partitions again.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list_of(partitions);
        // SAFETY: client and list are alive.
        ok(unsafe { sys::rd_kafka_resume_partitions(self.base.native_ptr(), list.ptr()) }.into())
    }

    /// Begins a commit; [`ConsumerEvent::Committed`] ends it.
    ///
    /// # Errors
    /// When the commit did not begin.
    pub(crate) fn commit(&self, positions: &[Position]) -> Result<(), Code> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for Position { partition, offset, metadata } in positions {
            let mut element = list.add_partition(&partition.topic, partition.partition);
            element.set_offset(Offset::Offset(*offset)).map_err(|_| Code::InvalidArgument)?;
            element.set_metadata(String::from_utf8_lossy(metadata));
        }
        let (client, opaque) = (self.base.native_ptr(), std::ptr::null_mut());
        // SAFETY: client, queue and list are alive; librdkafka copies the list, and does not wait.
        ok(unsafe { sys::rd_kafka_commit_queue(client, list.ptr(), self.queue.0, None, opaque) }.into())
    }

    /// Asks where the group stands. Blocks for as long as `timeout`. Partitions without a position are left out.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Position>, Code> {
        let list = list_of(partitions);
        // SAFETY: client and list are alive; librdkafka writes into the list.
        ok(unsafe { sys::rd_kafka_committed(self.base.native_ptr(), list.ptr(), milliseconds(timeout)) }.into())?;
        // SAFETY: the list is alive.
        unsafe { positions_of(list.ptr()) }
    }

    /// Answers [`ConsumerEvent::TokenWanted`], or comes before it.
    pub(crate) fn set_token(&self, token: Result<&Token, &str>) {
        // SAFETY: the client is alive.
        unsafe { give(self.base.native_ptr(), token) };
    }

    /// Whether partitions were given to others, whatever became of a rebalance that is under way.
    pub(crate) fn assignment_is_lost(&self) -> bool {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_assignment_lost(self.base.native_ptr()) == 1 }
    }

    /// Leaves the group, within `timeout`. Whoever calls it has given all partitions back, and polls no more.
    ///
    /// Returns whether the group let it go in time.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        let began = Instant::now();
        // SAFETY: client and queue are alive; the error is ours, or null.
        let is_closing =
            unsafe { end_error(sys::rd_kafka_consumer_close_queue(self.base.native_ptr(), self.queue.0)) }.is_ok();
        let mut names = PartitionNames::default();
        // SAFETY: the client is alive.
        let is_closed = || unsafe { sys::rd_kafka_consumer_closed(self.base.native_ptr()) == 1 };
        while is_closing && !is_closed() && began.elapsed() < timeout {
            let event = self.poll(CLOSING_POLL, &mut names);
            if let Some(ConsumerEvent::Revoked { partitions, .. } | ConsumerEvent::Assigned(partitions)) = event {
                // This answer is what librdkafka waits for.
                let _ = self.unassign(&partitions);
            }
        }
        is_closed()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let client = self.base.native_ptr();
        // SAFETY: the queue is dropped once, here, and before its client.
        unsafe { ManuallyDrop::drop(&mut self.queue) };
        // rdkafka's own handle would close the consumer first, and polls for that without a limit.
        // SAFETY: the client is destroyed once: rdkafka's handle of it is never dropped.
        unsafe { sys::rd_kafka_destroy_flags(client, NO_CONSUMER_CLOSE) };
    }
}

/// `RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE` (rdkafka.h), a macro that the bindings leave out.
const NO_CONSUMER_CLOSE: i32 = 0x8;

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// The positions in a list. Not by rdkafka's elements, which panic on metadata that is not UTF-8.
///
/// # Safety
/// `list` is alive.
unsafe fn positions_of(list: *mut sys::rd_kafka_topic_partition_list_t) -> Result<Vec<Position>, Code> {
    let mut names = PartitionNames::default();
    let mut positions = Vec::new();
    // SAFETY: by the contract above; the elements live as long as the list.
    for element in unsafe { elements(list) } {
        ok(element.err.into())?;
        if element.offset < 0 {
            continue;
        }
        let metadata = if element.metadata.is_null() {
            Vec::new()
        } else {
            // SAFETY: librdkafka says how many bytes there are.
            unsafe { std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size) }.to_vec()
        };
        // SAFETY: the element is alive.
        let partition = unsafe { names.partition(element) };
        positions.push(Position { partition, offset: element.offset, metadata });
    }
    Ok(positions)
}

fn ok(code: Code) -> Result<(), Code> {
    if code == Code::NoError {
        Ok(())
    } else {
        Err(code)
    }
}

/// # Safety
/// `error` is null, or an error that nobody else destroys.
unsafe fn end_error(error: *mut sys::rd_kafka_error_t) -> Result<(), Code> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by the contract above.
    let code: Code = unsafe { sys::rd_kafka_error_code(error) }.into();
    // SAFETY: by the contract above; it is destroyed once.
    unsafe { sys::rd_kafka_error_destroy(error) };
    Err(code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::client::tests::{client, LIMIT};
    use super::super::consumer_event::FetchedRecord;
    use super::super::record::Record;
    use super::*;
    use crate::testing::EmbeddedBroker;

    fn consumer(cluster: &EmbeddedBroker) -> Consumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "workers");
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // The mock cluster lets a new member wait so long, minus a second, when another one has left.
        config.set("session.timeout.ms", "6000");
        Consumer::create(&config, &["events"]).unwrap()
    }

    /// Polls until `wanted` finds what it looks for; takes what is assigned.
    fn poll_for<T>(consumer: &Consumer, mut wanted: impl FnMut(ConsumerEvent) -> Option<T>) -> T {
        let began = Instant::now();
        let mut names = PartitionNames::default();
        loop {
            assert!(began.elapsed() < LIMIT);
            match consumer.poll(CLOSING_POLL, &mut names) {
                Some(ConsumerEvent::Assigned(partitions)) => consumer.assign(&partitions).unwrap(),
                Some(event) => {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                None => {}
            }
        }
    }

    fn next_record(consumer: &Consumer) -> FetchedRecord {
        poll_for(consumer, |event| match event {
            ConsumerEvent::Fetched(record) => Some(record),
            _ => None,
        })
    }

    #[test]
    fn a_record_is_fetched_and_committed_with_metadata_of_any_bytes() {
        let cluster = EmbeddedBroker::start(1).unwrap();
        cluster.create_topic("events".into(), 1).unwrap();
        let producer = client(cluster.bootstrap_servers());
        let record = Record { topic: "events", key: b"k", payload: b"v", headers: &[("ce_id", b"7")] };
        producer.produce(&record, 0).unwrap();
        while producer.outstanding() > 0 {
            producer.poll(LIMIT);
        }

        let first = consumer(&cluster);
        let fetched = next_record(&first);
        assert_eq!((&*fetched.partition.topic, fetched.partition.partition, fetched.offset), ("events", 0, 0));
        assert_eq!((fetched.key.as_deref(), fetched.value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!(fetched.headers, [("ce_id".to_owned(), Some(b"7".to_vec()))]);

        let position = Position { partition: fetched.partition.clone(), offset: 1, metadata: b"ke1:1:".to_vec() };
        first.commit(std::slice::from_ref(&position)).unwrap();
        poll_for(&first, |event| match event {
            ConsumerEvent::Committed(result) => Some(result),
            _ => None,
        })
        .unwrap();
        assert_eq!(first.committed(std::slice::from_ref(&fetched.partition), LIMIT).unwrap(), [position]);
        assert!(first.close(LIMIT));
        drop(first);

        producer.produce(&record, 0).unwrap();
        while producer.outstanding() > 0 {
            producer.poll(LIMIT);
        }
        let second = consumer(&cluster);
        assert_eq!(next_record(&second).offset, 1, "it goes on where the first one stopped");
    }
}
