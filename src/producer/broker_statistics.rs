//! What librdkafka's statistics say about the brokers, every few seconds.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::statistics::{Broker, Statistics};

use super::metrics::METRICS;

/// The latest round trips to the brokers.
#[derive(Default)]
pub(super) struct BrokerStatistics {
    round_trips: Mutex<Vec<(i32, Duration)>>,
}

/// The counters in the last statistics of one client of librdkafka; they begin at 0 with each client.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    resent: u64,
    connects: u64,
    disconnects: u64,
}

impl BrokerStatistics {
    /// Takes new statistics over. `ended` is how many messages the client sent and reported, `totals` what its last
    /// statistics said.
    pub(super) fn update(&self, statistics: &str, ended: u64, totals: &mut Totals) {
        // Ignore JSON that does not parse: monitoring is no reason to fail.
        let Ok(Statistics { brokers, topics, .. }) = serde_json::from_str(statistics) else { return };
        let partitions = topics.values().flat_map(|topic| topic.partitions.values());
        // Reports newer than the snapshot make the number of resent messages too low for a moment; `max` keeps it from
        // going down.
        let in_flight = partitions.clone().map(|partition| whole(partition.msgs_inflight)).sum::<u64>();
        let sent = partitions.map(|partition| partition.txmsgs).sum::<u64>();
        let sum = |field: fn(&Broker) -> Option<i64>| {
            brokers.values().map(|broker| whole(field(broker).unwrap_or(0))).sum::<u64>()
        };
        let now = Totals {
            resent: sent.saturating_sub(in_flight + ended).max(totals.resent),
            connects: sum(|broker| broker.connects),
            disconnects: sum(|broker| broker.disconnects),
        };
        METRICS.resent.add(now.resent.saturating_sub(totals.resent));
        METRICS.connects.add(now.connects.saturating_sub(totals.connects));
        METRICS.disconnects.add(now.disconnects.saturating_sub(totals.disconnects));
        *totals = now;
        let mut round_trips: Vec<_> = brokers.values().filter_map(round_trip).collect();
        round_trips.sort_unstable();
        *self.round_trips.lock() = round_trips;
    }

    /// Mean round trip of the last seconds to each broker that answered something, by its number.
    pub(super) fn round_trips(&self) -> Vec<(i32, Duration)> {
        self.round_trips.lock().clone()
    }
}

fn round_trip(broker: &Broker) -> Option<(i32, Duration)> {
    let window = broker.rtt.as_ref()?;
    // A bootstrap address has a negative number until it is known which broker it is.
    (broker.nodeid >= 0 && window.cnt > 0).then(|| (broker.nodeid, Duration::from_micros(whole(window.avg))))
}

/// librdkafka's counters are never negative.
fn whole(number: i64) -> u64 {
    number.unsigned_abs()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::statistics::{Partition, Topic, Window};

    use super::*;

    fn broker(nodeid: i32, connects: i64, disconnects: i64, avg: i64, cnt: i64) -> (String, Broker) {
        let (connects, disconnects, rtt) =
            (Some(connects), Some(disconnects), Some(Window { avg, cnt, ..Window::default() }));
        (nodeid.to_string(), Broker { nodeid, connects, disconnects, rtt, ..Broker::default() })
    }

    fn statistics(txmsgs: u64) -> String {
        let brokers = HashMap::from([broker(2, 3, 1, 250, 9), broker(1, 1, 0, 0, 0), broker(-1, 1, 0, 7, 1)]);
        let partition = Partition { txmsgs, msgs_inflight: 10, ..Partition::default() };
        let topic = Topic { partitions: HashMap::from([(0, partition)]), ..Topic::default() };
        let topics = HashMap::from([("t".to_owned(), topic)]);
        serde_json::to_string(&Statistics { brokers, topics, ..Statistics::default() }).unwrap()
    }

    #[test]
    fn counts_what_is_new_and_keeps_the_last_round_trips() {
        let (brokers, mut totals) = (BrokerStatistics::default(), Totals::default());
        let before = METRICS.resent.get();
        for (sent, ended) in [(10, 0), (10, 5), (24, 10), (24, 12), (26, 10)] {
            brokers.update(&statistics(sent), ended, &mut totals);
        }
        brokers.update("not JSON", 0, &mut totals);
        assert_eq!(METRICS.resent.get() - before, 6, "never less than before");
        assert_eq!((totals.connects, totals.disconnects), (5, 1));
        assert_eq!(brokers.round_trips(), [(2, Duration::from_micros(250))]);
    }
}
