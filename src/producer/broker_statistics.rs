//! What librdkafka tells about each broker, every few seconds.
//!
//! Fields: librdkafka's STATISTICS.md, "brokers".

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use crate::producer::metrics::METRICS;

/// Round trips to the brokers, as librdkafka told them last.
#[derive(Default)]
pub struct Brokers {
    round_trips: Mutex<Vec<(i32, Duration)>>,
}

/// The counters of one client of librdkafka when it told them last: they begin at 0 with each client.
#[derive(Clone, Copy, Default)]
pub struct Told {
    resent: u64,
    connects: u64,
    disconnects: u64,
}

#[derive(Deserialize)]
struct Statistics {
    brokers: HashMap<String, Broker>,
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    connects: u64,
    disconnects: u64,
    rtt: Window,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    /// Messages sent, those sent again included.
    txmsgs: u64,
    msgs_inflight: u64,
}

#[derive(Deserialize)]
struct Window {
    /// Microseconds.
    avg: u64,
    cnt: u64,
}

impl Brokers {
    /// Takes over what a client tells; `told` is what it told before, `ended` how many messages were sent and reported.
    pub fn listen(&self, statistics: &str, ended: u64, told: &mut Told) {
        // Statistics of another form than documented are none.
        let Ok(Statistics { brokers, topics }) = serde_json::from_str(statistics) else { return };
        let partitions = topics.values().flat_map(|topic| topic.partitions.values());
        // Some ended since the statistics were made; the next ones will tell.
        let sent_once = partitions.clone().map(|partition| partition.msgs_inflight).sum::<u64>() + ended;
        let sent = partitions.map(|partition| partition.txmsgs).sum::<u64>();
        let sum = |field: fn(&Broker) -> u64| brokers.values().map(field).sum::<u64>();
        let now = Told {
            resent: sent.saturating_sub(sent_once).max(told.resent),
            connects: sum(|broker| broker.connects),
            disconnects: sum(|broker| broker.disconnects),
        };
        METRICS.resent.add(now.resent.saturating_sub(told.resent));
        METRICS.connects.add(now.connects.saturating_sub(told.connects));
        METRICS.disconnects.add(now.disconnects.saturating_sub(told.disconnects));
        *told = now;
        // A bootstrap address has a negative number until it is known which broker it is.
        let measured = brokers.values().filter(|broker| broker.nodeid >= 0 && broker.rtt.cnt > 0);
        let mut round_trips: Vec<_> =
            measured.map(|broker| (broker.nodeid, Duration::from_micros(broker.rtt.avg))).collect();
        round_trips.sort_unstable();
        *self.round_trips.lock() = round_trips;
    }

    /// Mean round trip of the last seconds to each broker that was asked something, by its number.
    pub fn round_trips(&self) -> Vec<(i32, Duration)> {
        self.round_trips.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_new_and_keeps_the_last_round_trips() {
        let statistics = |sent: u64| {
            format!(
                r#"{{"name": "x", "brokers": {{
                    "a": {{"nodeid": 2, "connects": 3, "disconnects": 1, "rtt": {{"avg": 250, "cnt": 9}}}},
                    "b": {{"nodeid": 1, "connects": 1, "disconnects": 0, "rtt": {{"avg": 0, "cnt": 0}}}},
                    "c": {{"nodeid": -1, "connects": 1, "disconnects": 0, "rtt": {{"avg": 7, "cnt": 1}}}}}},
                    "topics": {{"t": {{"partitions": {{"0": {{"txmsgs": {sent}, "msgs_inflight": 10}}}}}}}}}}"#
            )
        };
        let (brokers, mut told) = (Brokers::default(), Told::default());
        let before = METRICS.resent.get();
        for (sent, ended) in [(10, 0), (10, 5), (24, 10), (24, 12), (26, 10)] {
            brokers.listen(&statistics(sent), ended, &mut told);
        }
        brokers.listen("not JSON", 0, &mut told);
        assert_eq!(METRICS.resent.get() - before, 6, "never less than before");
        assert_eq!((told.connects, told.disconnects), (5, 1));
        assert_eq!(brokers.round_trips(), [(2, Duration::from_micros(250))]);
    }
}
