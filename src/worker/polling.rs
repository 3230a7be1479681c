//! The loop that polls the consumer: it hands records and rebalances to the engine, carries out the engine's commands, and
//! does nothing slow.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;

use super::clock::unix_ms;
use super::commands::{Command, Report};
use super::engine::action::{CommitId, Position};
use super::engine::identity::{Generation, PartitionId, RecordId};
use super::engine::input::Input;
use super::engine::record::{Parts, Record};
use super::names::{committed, id_of, native_of, native_of_one};
use super::partition_ends::Statistics;
use crate::kafka::librdkafka::{
    self as native, ClientError, Code, Consumer, ConsumerEvent, LatestToken, PartitionNames,
};

/// Longest wait for an event, and so for a command.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Records that are handed over at once.
const BATCH: usize = 500;
/// Time for reading a group's positions back.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for leaving the group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a client takes the place of one that died.
const REBUILD_PAUSE: Duration = Duration::from_secs(5);
/// So many fatal errors in [`FATAL_PERIOD`] end the worker.
const FATAL_LIMIT: usize = 6;
const FATAL_PERIOD: Duration = Duration::from_mins(10);

/// Before this, a time of storage is made up: librdkafka's mock cluster stamps records with the year 1970. Such a record
/// is as old as its fetch.
const YEAR_2000_MS: i64 = 946_684_800_000;

/// What a consumer is made of, each time.
pub(super) struct Plan {
    pub(super) config: ClientConfig,
    pub(super) topics: Vec<String>,
    pub(super) token: Arc<LatestToken>,
}

impl Plan {
    pub(super) fn build(&self) -> Result<Consumer, rdkafka::error::KafkaError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        Consumer::create(&self.config, &topics)
    }
}

/// What happened to the consumer in one round.
enum Turn {
    Goes,
    Died(ClientError),
    Closes,
}

/// The consumer, and what is known of its partitions.
pub(super) struct Polling {
    plan: Plan,
    report: Arc<dyn Fn(Report) + Send + Sync>,
    commands: Receiver<Command>,
    names: PartitionNames,
    /// The partitions that are assigned, and since when they are.
    assigned: HashMap<PartitionId, Generation>,
    generations: u64,
    /// The group wants partitions back, and waits.
    is_revoking: bool,
    commit: Option<CommitId>,
    is_coordinated: bool,
}

impl Polling {
    pub(super) fn new(plan: Plan, report: Arc<dyn Fn(Report) + Send + Sync>, commands: Receiver<Command>) -> Self {
        Self {
            plan,
            report,
            commands,
            names: PartitionNames::default(),
            assigned: HashMap::new(),
            generations: 0,
            is_revoking: false,
            commit: None,
            is_coordinated: false,
        }
    }

    /// Polls until the worker ends.
    pub(super) fn run(mut self, first: Consumer) {
        let mut deaths: Vec<Instant> = Vec::new();
        let mut next = Some(first);
        while let Some(consumer) = next.take() {
            let consumer = Arc::new(consumer);
            let Some(error) = self.live(&consumer) else { return };
            // The client is dropped without leaving the group: librdkafka has given it up.
            drop(consumer);
            self.forget_everything();
            let now = Instant::now();
            deaths.retain(|death| now.saturating_duration_since(*death) < FATAL_PERIOD);
            deaths.push(now);
            if deaths.len() >= FATAL_LIMIT {
                return self.tell(Report::GaveUp(error));
            }
            self.tell(Report::Failed(error));
            next = self.rebuild();
        }
    }

    /// Builds the next client after a pause, again and again; None when the worker ends meanwhile.
    fn rebuild(&mut self) -> Option<Consumer> {
        loop {
            let until = Instant::now() + REBUILD_PAUSE;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                match self.commands.recv_timeout(left) {
                    Ok(Command::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                    // What it is about is gone.
                    Ok(Command::Commit(id, _)) => self.end_commit(id, Err(Code::BrokerDestroy)),
                    Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
            }
            match self.plan.build() {
                Ok(consumer) => return Some(consumer),
                Err(error) => self.tell(Report::Logged(error.to_string())),
            }
        }
    }

    /// Polls until the client dies, which is returned, or the worker ends.
    fn live(&mut self, consumer: &Arc<Consumer>) -> Option<ClientError> {
        loop {
            match self.turn(consumer) {
                Turn::Goes => {}
                Turn::Died(error) => return Some(error),
                Turn::Closes => {
                    self.close(consumer);
                    return None;
                }
            }
        }
    }

    fn turn(&mut self, consumer: &Arc<Consumer>) -> Turn {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Close) | Err(TryRecvError::Disconnected) => return Turn::Closes,
                Ok(command) => self.carry_out(consumer, command),
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.is_revoking && consumer.assignment_is_lost() {
            let all: Vec<_> = self.assigned.keys().cloned().collect();
            self.lose(consumer, &all);
        }
        let mut records = Vec::new();
        let mut timeout = POLL_TIMEOUT;
        while records.len() < BATCH {
            match consumer.poll(timeout, &mut self.names) {
                Some(ConsumerEvent::Fetched(fetched)) => records.extend(self.record_of(fetched)),
                Some(event) => {
                    // The engine hears of records before it hears that they are gone.
                    self.hand_over(&mut records);
                    if let Err(error) = self.on_event(consumer, event) {
                        return Turn::Died(error);
                    }
                }
                None => break,
            }
            timeout = Duration::ZERO;
        }
        self.hand_over(&mut records);
        Turn::Goes
    }

    fn hand_over(&self, records: &mut Vec<Record>) {
        if !records.is_empty() {
            self.tell(Report::Input(Input::Fetched(std::mem::take(records))));
        }
    }

    /// None for a record of a partition that was given back.
    fn record_of(&self, fetched: native::FetchedRecord) -> Option<Record> {
        let partition = id_of(&fetched.partition);
        let generation = *self.assigned.get(&partition)?;
        Some(Record::new(Parts {
            id: RecordId { generation, offset: fetched.offset },
            partition,
            timestamp_ms: if fetched.timestamp_ms < YEAR_2000_MS { unix_ms() } else { fetched.timestamp_ms },
            key: fetched.key,
            value: fetched.value,
            headers: fetched.headers,
        }))
    }

    fn on_event(&mut self, consumer: &Consumer, event: ConsumerEvent) -> Result<(), ClientError> {
        match event {
            ConsumerEvent::Fetched(_) => {}
            ConsumerEvent::Assigned(partitions) => self.assign(consumer, &partitions),
            ConsumerEvent::Revoked { partitions, are_lost } => {
                let partitions: Vec<_> = partitions.iter().map(id_of).collect();
                if are_lost {
                    self.lose(consumer, &partitions);
                } else {
                    self.revoke(consumer, &partitions);
                }
            }
            ConsumerEvent::Committed(result) => {
                if let Some(id) = self.commit.take() {
                    self.end_commit(id, result);
                }
            }
            ConsumerEvent::Failed(error) if error.is_fatal => return Err(error),
            ConsumerEvent::Failed(error) => self.tell(Report::Failed(error)),
            ConsumerEvent::Logged(line) => self.tell(Report::Logged(line)),
            ConsumerEvent::Statistics(json) => self.on_statistics(&json),
            ConsumerEvent::TokenWanted => self.give_token(consumer),
        }
        Ok(())
    }

    fn assign(&mut self, consumer: &Consumer, partitions: &[native::TopicPartition]) {
        // Only a coordinator assigns.
        self.set_coordinated(true);
        let mut begun = Vec::new();
        for partition in partitions {
            self.generations += 1;
            let (id, generation) = (id_of(partition), Generation(self.generations));
            self.assigned.insert(id.clone(), generation);
            begun.push((id, generation));
        }
        if !begun.is_empty() {
            self.tell(Report::Input(Input::Assigned(begun)));
        }
        let _ = consumer.assign(partitions);
    }

    fn revoke(&mut self, consumer: &Consumer, partitions: &[PartitionId]) {
        let generations: Vec<_> = partitions.iter().filter_map(|id| self.assigned.get(id).copied()).collect();
        if generations.is_empty() {
            // Nobody has them, and the group waits.
            let _ = consumer.unassign(&native_of(partitions));
            return;
        }
        self.is_revoking = true;
        self.tell(Report::Input(Input::Revoked(generations)));
    }

    /// Others have these partitions already.
    fn lose(&mut self, consumer: &Consumer, partitions: &[PartitionId]) {
        let generations: Vec<_> = partitions.iter().filter_map(|id| self.assigned.remove(id)).collect();
        self.is_revoking = false;
        self.tell(Report::Input(Input::Lost(generations)));
        let _ = consumer.unassign(&native_of(partitions));
    }

    fn carry_out(&mut self, consumer: &Arc<Consumer>, command: Command) {
        match command {
            Command::ReadCommitted(partitions) => self.read_committed(consumer, partitions),
            Command::Commit(id, positions) => self.commit(consumer, id, &positions),
            Command::Pause(partitions) => drop(consumer.pause(&native_of(&self.still_assigned(partitions)))),
            Command::Resume(partitions) => drop(consumer.resume(&native_of(&self.still_assigned(partitions)))),
            Command::Unassign(ended) => {
                let ended = ended.into_iter().filter(|(id, generation)| self.assigned.get(id) == Some(generation));
                let ended: Vec<_> = ended.map(|(id, _)| id).collect();
                for id in &ended {
                    self.assigned.remove(id);
                }
                self.is_revoking = false;
                if !ended.is_empty() {
                    let _ = consumer.unassign(&native_of(&ended));
                }
            }
            Command::RenewToken => self.give_token(consumer),
            Command::Close => {}
        }
    }

    fn give_token(&self, consumer: &Consumer) {
        self.plan.token.with(|token| consumer.set_token(token));
    }

    fn still_assigned(&self, mut partitions: Vec<PartitionId>) -> Vec<PartitionId> {
        partitions.retain(|id| self.assigned.contains_key(id));
        partitions
    }

    fn commit(&mut self, consumer: &Consumer, id: CommitId, positions: &[Position]) {
        let current =
            positions.iter().filter(|position| self.assigned.get(&position.partition) == Some(&position.generation));
        let positions: Vec<_> = current
            .map(|position| native::Position {
                partition: native_of_one(&position.partition),
                offset: position.offset,
                metadata: position.metadata.clone().into_bytes(),
            })
            .collect();
        match consumer.commit(&positions) {
            Ok(()) => self.commit = Some(id),
            Err(code) => self.end_commit(id, Err(code)),
        }
    }

    fn end_commit(&self, id: CommitId, result: Result<(), Code>) {
        self.tell(Report::Input(Input::CommitEnded(id, result.map_err(native::name_of))));
    }

    /// Asks on a thread of its own, which blocks.
    fn read_committed(&self, consumer: &Arc<Consumer>, partitions: Vec<(PartitionId, Generation)>) {
        let (consumer, report) = (Arc::clone(consumer), Arc::clone(&self.report));
        let generations: Vec<_> = partitions.iter().map(|(_, generation)| *generation).collect();
        let reading = thread::Builder::new().name("kafka-email-offsets".into()).spawn(move || {
            let asked: Vec<_> = partitions.iter().map(|(id, _)| native_of_one(id)).collect();
            let answer = consumer.committed(&asked, READ_BACK_TIMEOUT);
            // The consumer may be closed by now, and this the last that has it.
            drop(consumer);
            for (partition, (_, generation)) in asked.iter().zip(&partitions) {
                report(Report::Input(Input::CommittedRead(*generation, committed(&answer, partition))));
            }
        });
        if reading.is_err() {
            for generation in generations {
                self.tell(Report::Input(Input::CommittedRead(generation, None)));
            }
        }
    }

    fn on_statistics(&mut self, json: &str) {
        let Some(statistics) = Statistics::parse(json) else { return };
        self.set_coordinated(statistics.is_coordinated());
        for (partition, end) in statistics.ends() {
            if let Some(generation) = self.assigned.get(&partition) {
                self.tell(Report::Input(Input::EndOffset(*generation, end)));
            }
        }
    }

    fn set_coordinated(&mut self, is_coordinated: bool) {
        if is_coordinated != self.is_coordinated {
            self.is_coordinated = is_coordinated;
            self.tell(Report::Coordinated(is_coordinated));
        }
    }

    /// librdkafka may crash when a consumer leaves a group that has no coordinator: such a consumer is only dropped.
    fn close(&mut self, consumer: &Consumer) {
        if !self.assigned.is_empty() {
            let _ = consumer.unassign(&native_of(&self.assigned.keys().cloned().collect::<Vec<_>>()));
        }
        if self.is_coordinated {
            consumer.close(CLOSE_TIMEOUT);
        }
        self.forget_everything();
    }

    fn forget_everything(&mut self) {
        if let Some(id) = self.commit.take() {
            self.end_commit(id, Err(Code::BrokerDestroy));
        }
        self.assigned.clear();
        self.is_revoking = false;
        self.set_coordinated(false);
        self.tell(Report::Input(Input::ClientDied));
    }

    fn tell(&self, report: Report) {
        (self.report)(report);
    }
}
