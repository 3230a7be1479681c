//! A topic of dead letters, as its operator sees it: which ones are open, and what is to become of them.
//!
//! The group `<group>-dlt`, which has no members, remembers what was replayed or dropped: by its positions, and by the
//! done set in their metadata, as the worker does. A letter is replayed first and remembered then, so that none is lost
//! when the tool is killed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::FutureProducer;
use serde::Deserialize;

use super::cluster::Cluster;
use super::engine::dead_letter::{dead_letter_topic, replay};
use super::engine::done_set::DoneSet;
use super::engine::record::Header;
use super::kafka_context::KafkaContext;
use super::produce::produce;
use super::settings::{reading, storing};
use crate::kafka::broker_errors::BrokerErrors;
use crate::kafka::failure::{Class, Failure, Kind};
use crate::kafka::librdkafka::{
    Code, Consumer, ConsumerEvent, FetchedRecord, LatestToken, PartitionNames, Position, Token, TopicPartition,
};

/// Time of each question to the cluster.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for one event.
const POLL: Duration = Duration::from_millis(20);
/// Silence after which nothing more is expected: the last offsets of a partition need not be records.
const SILENCE: Duration = Duration::from_secs(5);

/// Which letters. It holds secrets, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LetterSettings {
    connection: Cluster,
    /// The worker's group.
    group_id: String,
    /// The worker's topic.
    topic: String,
    /// Properties of the worker's consumer, which may be needed for a connection.
    consumer_options: BTreeMap<String, String>,
}

/// The open letters of one topic, each of which is read once.
pub(crate) struct DeadLetters {
    cluster: Cluster,
    token: Arc<LatestToken>,
    errors: Arc<BrokerErrors>,
    consumer: Consumer,
    names: PartitionNames,
    /// By partition: what is settled, and the offset before which reading ends.
    partitions: HashMap<i32, (DoneSet, i64)>,
    /// Letters that came while something else was waited for.
    fetched: VecDeque<Letter>,
    producer: Option<FutureProducer<KafkaContext>>,
}

/// One letter, which holds personal data.
pub(crate) type Letter = FetchedRecord;

/// What becomes of a letter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is produced to the topic that it came from.
    Replayed,
    /// It is forgotten.
    Dropped,
}

impl DeadLetters {
    /// Connects, and asks which letters are open.
    ///
    /// # Errors
    /// When the cluster does not answer, or there is no such topic.
    pub(crate) fn open(settings: LetterSettings, token: Option<Token>) -> Result<Self, Failure> {
        let LetterSettings { connection: cluster, group_id, topic, consumer_options } = settings;
        let topic = dead_letter_topic(&topic);
        let mut config = reading(&cluster.connection);
        for (name, value) in &consumer_options {
            config.set(name, value);
        }
        config.set("group.id", format!("{group_id}-dlt"));
        let errors = cluster.errors();
        let consumer = Consumer::alone(&config).map_err(|error| cluster.refusal(&error, &errors, &consumer_options))?;
        let token = Arc::new(LatestToken::new(token));
        token.with(|token| consumer.set_token(token));
        let (names, partitions) = (PartitionNames::default(), HashMap::new());
        let fetched = VecDeque::new();
        let mut letters = Self { cluster, token, errors, consumer, names, partitions, fetched, producer: None };
        letters.begin(&topic).map_err(|code| letters.failure(code, &topic))?;
        Ok(letters)
    }

    fn begin(&mut self, topic: &str) -> Result<(), Code> {
        let extent = self.consumer.extent(topic, TIMEOUT)?;
        let partitions: Vec<TopicPartition> = extent.iter().map(|(partition, ..)| partition.clone()).collect();
        let committed = self.consumer.committed(&partitions, TIMEOUT)?;
        let mut from = Vec::new();
        for (partition, low, high) in extent {
            // A position after the end belongs to a topic of that name which was deleted.
            let known = committed.iter().find(|known| known.partition == partition && known.offset <= high);
            let done = known.map(|position| DoneSet::restore(position.offset, &position.metadata)).unwrap_or_default();
            let offset = known.map_or(-1, |position| position.offset);
            if low < high && offset < high {
                self.partitions.insert(partition.partition, (done, high));
                from.push(Position { partition, offset, metadata: Vec::new() });
            }
        }
        self.consumer.read(&from)
    }

    /// The next open letter of those that were there when it began; none after the last one.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn next(&mut self) -> Result<Option<Letter>, Failure> {
        let mut heard = Instant::now();
        loop {
            while let Some(letter) = self.fetched.pop_front() {
                heard = Instant::now();
                if self.take(&letter) {
                    return Ok(Some(letter));
                }
            }
            if self.is_read() || heard.elapsed() > SILENCE {
                return Ok(None);
            }
            if let Some(ConsumerEvent::Failed(error)) = self.poll() {
                if error.is_fatal || error.code == Code::AllBrokersDown {
                    return Err(self.cluster.failure(error.code, &self.errors));
                }
            }
        }
    }

    fn is_read(&self) -> bool {
        self.partitions.values().all(|(done, end)| done.fetched_end().is_some_and(|fetched| fetched >= *end))
    }

    /// Whether it is open, and was there at the beginning.
    fn take(&mut self, letter: &Letter) -> bool {
        let Some((done, end)) = self.partitions.get_mut(&letter.partition.partition) else { return false };
        if done.is_rewound_by(letter.offset) {
            // The topic was deleted and created again.
            *done = DoneSet::default();
        }
        let is_open = done.fetch(letter.offset);
        is_open && letter.offset < *end
    }

    /// Replays or drops a letter, and remembers that. Returns whether the letter says where it came from: one that does
    /// not cannot be replayed, and stays.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub(crate) fn settle(&mut self, letter: &Letter, fate: Fate) -> Result<bool, Failure> {
        let number = letter.partition.partition;
        if !self.partitions.get(&number).is_some_and(|(done, _)| done.may_start(letter.offset, 0)) {
            let text =
                "too many letters before this one are still open for Kafka to remember which: replay or drop the \
                        oldest ones first";
            return Err(Failure::new(Kind { class: Class::Other, code: "TOO_MANY_OPEN", retriable: false }, text));
        }
        if fate == Fate::Replayed {
            let Some((topic, headers)) = replay(&letter.headers) else { return Ok(false) };
            self.produce(&topic, letter, &headers)?;
        }
        let topic = Arc::clone(&letter.partition.topic);
        if let Some((done, _)) = self.partitions.get_mut(&number) {
            done.finish(letter.offset);
            let offset = done.position().unwrap_or_default();
            let position = Position { partition: letter.partition.clone(), offset, metadata: done.encode().into() };
            self.commit(&position).map_err(|code| self.failure(code, &topic))?;
        }
        Ok(true)
    }

    fn produce(&mut self, topic: &str, letter: &Letter, headers: &[Header]) -> Result<(), Failure> {
        let producer = self.producer()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|_| self.failure(Code::CriticalSystemResource, topic))?;
        let stored = produce(&producer, topic, letter.key.as_deref(), letter.value.as_deref(), headers);
        runtime.block_on(stored).map_err(|code| self.failure(code, topic))
    }

    fn producer(&mut self) -> Result<FutureProducer<KafkaContext>, Failure> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let context = KafkaContext::noting(Arc::clone(&self.token), Arc::clone(&self.errors));
        let config = storing(&self.cluster.connection);
        let producer = FutureProducer::from_config_and_context(&config, context)
            .map_err(|error| self.cluster.refusal(&error, &self.errors, &BTreeMap::new()))?;
        Ok(self.producer.insert(producer).clone())
    }

    fn commit(&mut self, position: &Position) -> Result<(), Code> {
        self.consumer.commit(std::slice::from_ref(position))?;
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            if let Some(ConsumerEvent::Committed(result)) = self.poll() {
                return result;
            }
        }
        Err(Code::OperationTimedOut)
    }

    /// Waits shortly for an event. A letter goes to those that [`Self::next`] returns.
    fn poll(&mut self) -> Option<ConsumerEvent> {
        let event = self.consumer.poll(POLL, &mut self.names)?;
        match event {
            ConsumerEvent::Fetched(letter) => {
                self.fetched.push_back(letter);
                return None;
            }
            ConsumerEvent::Failed(ref error) => self.errors.note(error.code, &error.reason, Instant::now()),
            ConsumerEvent::TokenWanted => self.token.with(|token| self.consumer.set_token(token)),
            _ => {}
        }
        Some(event)
    }

    fn failure(&mut self, code: Code, topic: &str) -> Failure {
        // What is wrong with the brokers waits in the queue.
        while self.poll().is_some() {}
        match Kind::of(code) {
            kind if kind.class == Class::UnknownTopic => Failure::new(
                kind,
                format!("there is no topic {topic}: check the name, or run `kafka-email topics create`"),
            ),
            kind if kind.class == Class::Authorization => Failure::new(
                kind,
                format!("Kafka refuses access to topic {topic} or its group: {code}; grant Read and Write"),
            ),
            _ => self.cluster.failure(code, &self.errors),
        }
    }
}
