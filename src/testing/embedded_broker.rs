//! A Kafka protocol endpoint inside the process: librdkafka's mock cluster, for tests and demos.
//!
//! No disk and no replication; otherwise real clients cannot tell the difference.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey;
use rdkafka::{Offset, TopicPartitionList};

/// Longest wait for the cluster to answer its own consumer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Whether this process ever started an embedded broker.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// Before this, a time of storage is made up.
const YEAR_2000_MS: i64 = 946_684_800_000;

type Mock = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Mock) + Send>;

/// Why an embedded broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It is stopped.
    #[error("the embedded broker is stopped")]
    Stopped,
    /// librdkafka refused.
    #[error("the embedded broker refused: {0}")]
    Refused(#[from] KafkaError),
    /// There is no such request.
    #[error("the embedded broker answers no request of the name {0:?}")]
    UnknownRequest(String),
    /// There is no such error.
    #[error("Kafka has no error code {0}")]
    UnknownCode(i32),
    /// It did not hand out its records in time.
    #[error("the embedded broker did not answer within {} s: is it down?", TIME_LIMIT.as_secs())]
    Silent,
    /// It does not hold all records of a partition any more.
    #[error(
        "the embedded broker dropped the first {1} records of partition {0}: it keeps the last 5 MB of a partition, so \
         read the records before, or publish less"
    )]
    Dropped(i32, i64),
    /// The system has no thread left.
    #[error("cannot start the embedded broker: {0}")]
    Thread(#[from] io::Error),
}

/// A record as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredRecord {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Headers in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// Whether an embedded broker made this time up: librdkafka's mock cluster stamps records with the year 1970.
pub(crate) fn is_made_up(timestamp_ms: i64) -> bool {
    IS_USED.load(Ordering::Relaxed) && timestamp_ms < YEAR_2000_MS
}

/// The cluster lives in a thread of its own, because librdkafka's handle of it must not move between threads.
pub struct EmbeddedBroker {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    bootstrap_servers: String,
    brokers: i32,
}

impl EmbeddedBroker {
    /// Starts a cluster of `brokers` brokers on free ports of the loopback interface.
    ///
    /// # Errors
    /// When librdkafka cannot listen, or the system has no thread left.
    pub fn start(brokers: i32) -> Result<Self, BrokerError> {
        IS_USED.store(true, Ordering::Relaxed);
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new().name("kafka-email-broker".into()).spawn(move || {
            let cluster = match MockCluster::new(brokers) {
                Ok(cluster) => cluster,
                Err(error) => return drop(ready.send(Err(error))),
            };
            if ready.send(Ok(cluster.bootstrap_servers())).is_ok() {
                for job in inbox {
                    job(&cluster);
                }
            }
        })?;
        let bootstrap_servers = started.recv().map_err(|_| BrokerError::Stopped)??;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), bootstrap_servers, brokers })
    }

    /// Comma-separated `host:port` list.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// # Errors
    /// When the topic exists already, or the broker is stopped.
    pub(crate) fn create_topic(&self, topic: String, partitions: i32) -> Result<(), BrokerError> {
        let replicas = self.brokers.min(3);
        self.run(move |cluster| cluster.create_topic(&topic, partitions, replicas))??;
        Ok(())
    }

    /// Makes a broker the leader of a partition.
    ///
    /// # Errors
    /// When there is no such partition or broker, or the broker is stopped.
    pub(crate) fn set_leader(&self, topic: String, partition: i32, broker: i32) -> Result<(), BrokerError> {
        self.run(move |cluster| cluster.partition_leader(&topic, partition, Some(broker)))??;
        Ok(())
    }

    /// Takes a broker, or all of them, down or up again.
    ///
    /// # Errors
    /// When there is no such broker, or the broker is stopped.
    pub(crate) fn set_down(&self, broker: Option<i32>, down: bool) -> Result<(), BrokerError> {
        let set = move |cluster: &Mock, id| if down { cluster.broker_down(id) } else { cluster.broker_up(id) };
        match broker {
            Some(id) => Ok(self.run(move |cluster| set(cluster, id))??),
            None => self.each_broker(set),
        }
    }

    /// Delays each answer.
    ///
    /// # Errors
    /// When the broker is stopped.
    pub(crate) fn set_round_trip(&self, delay: Duration) -> Result<(), BrokerError> {
        self.each_broker(move |cluster, id| cluster.broker_round_trip_time(id, delay))
    }

    /// Answers the next `count` requests of a kind with an error.
    ///
    /// # Errors
    /// When Kafka has no such request or no such code, or the broker is stopped.
    pub(crate) fn fail_next(&self, request: &str, code: i32, count: usize) -> Result<(), BrokerError> {
        let api_key = api_key(request).ok_or_else(|| BrokerError::UnknownRequest(request.to_owned()))?;
        let error = rd_kafka_resp_err_t::try_from(code).map_err(|_| BrokerError::UnknownCode(code))?;
        self.run(move |cluster| cluster.request_errors(api_key, &vec![error; count]))
    }

    /// All records that a topic holds, ordered by partition and offset.
    ///
    /// # Errors
    /// When the brokers are down or stopped, or do not hold all records any more.
    pub(crate) fn records(&self, topic: &str) -> Result<Vec<StoredRecord>, BrokerError> {
        if self.jobs.lock().is_none() {
            return Err(BrokerError::Stopped);
        }
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", "kafka-email-embedded-broker")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let ends = ends(&consumer, topic)?;
        let mut records = read(&consumer, topic, &ends)?;
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Ends the cluster and waits for its threads.
    pub(crate) fn stop(&self) {
        drop(self.jobs.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            // A panic there was reported when it happened; here only the end matters.
            let _ = thread.join();
        }
    }

    fn each_broker(
        &self,
        act: impl Fn(&Mock, i32) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), BrokerError> {
        let brokers = self.brokers;
        self.run(move |cluster| (1..=brokers).try_for_each(|id| act(cluster, id)))??;
        Ok(())
    }

    fn run<R: Send + 'static>(&self, job: impl FnOnce(&Mock) -> R + Send + 'static) -> Result<R, BrokerError> {
        let (reply, answer) = mpsc::channel();
        let job: Job = Box::new(move |cluster| drop(reply.send(job(cluster))));
        self.jobs.lock().as_ref().ok_or(BrokerError::Stopped)?.send(job).map_err(|_| BrokerError::Stopped)?;
        answer.recv().map_err(|_| BrokerError::Stopped)
    }
}

/// The requests that librdkafka's mock cluster answers, by Kafka's names
/// (<https://kafka.apache.org/protocol#protocol_api_keys>).
fn api_key(request: &str) -> Option<RDKafkaApiKey> {
    Some(match request {
        "Produce" => RDKafkaApiKey::Produce,
        "Fetch" => RDKafkaApiKey::Fetch,
        "ListOffsets" => RDKafkaApiKey::ListOffsets,
        "Metadata" => RDKafkaApiKey::Metadata,
        "OffsetCommit" => RDKafkaApiKey::OffsetCommit,
        "OffsetFetch" => RDKafkaApiKey::OffsetFetch,
        "FindCoordinator" => RDKafkaApiKey::FindCoordinator,
        "JoinGroup" => RDKafkaApiKey::JoinGroup,
        "Heartbeat" => RDKafkaApiKey::Heartbeat,
        "LeaveGroup" => RDKafkaApiKey::LeaveGroup,
        "SyncGroup" => RDKafkaApiKey::SyncGroup,
        "ApiVersions" => RDKafkaApiKey::ApiVersion,
        "InitProducerId" => RDKafkaApiKey::InitProducerId,
        _ => return None,
    })
}

/// Each partition that holds records, and how many.
fn ends(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i32, i64)>, BrokerError> {
    let metadata = consumer.fetch_metadata(Some(topic), TIME_LIMIT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(MetadataPartition::id));
    let mut ends = Vec::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, TIME_LIMIT)?;
        if low > 0 {
            return Err(BrokerError::Dropped(partition, low));
        }
        if high > 0 {
            ends.push((partition, high));
        }
    }
    Ok(ends)
}

fn read(consumer: &BaseConsumer, topic: &str, ends: &[(i32, i64)]) -> Result<Vec<StoredRecord>, BrokerError> {
    let mut assignment = TopicPartitionList::new();
    for (partition, _) in ends {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let wanted: i64 = ends.iter().map(|(_, end)| end).sum();
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let deadline = Instant::now() + TIME_LIMIT;
    let mut records = Vec::new();
    while records.len() < wanted {
        if Instant::now() > deadline {
            return Err(BrokerError::Silent);
        }
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message?;
            records.push(StoredRecord {
                partition: message.partition(),
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
                }),
            });
        }
    }
    Ok(records)
}
