//! When the cluster is probed, and which broker.

use std::time::{Duration, Instant};

use super::state::{Target, View};
use crate::kafka::librdkafka::Broker;

/// The longest that one probe blocks. A blocking call cannot be cancelled, so it is also the longest delay of a stop.
pub(in crate::producer) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between probes of a cluster that is well.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(3);
/// A new client probes twice. librdkafka asks for its producer id on metadata; if the first reply's connection closes,
/// only another metadata reply makes it ask again before 500 ms.
const FIRST_PROBES: u32 = 2;
/// After a silent probe two brokers are asked by their numbers, before librdkafka chooses again.
const ROUND: u32 = 3;

/// The probes of one client, at most one at a time.
pub(super) struct Probing {
    is_out: bool,
    next: Instant,
    /// When the last probe was sent.
    last: Option<Instant>,
    /// Probes in a row without an answer.
    silent: u32,
    answers: u32,
    /// Brokers in the last answer.
    brokers: Vec<Broker>,
    /// The broker that the last probe asked by its number.
    asked: Option<i32>,
    /// Since when only a broker that is asked by its number is believed.
    doubted: Option<Instant>,
    /// In doubt: whether the next probe asks a broker by its number. The one after it does not, because only metadata tells
    /// librdkafka about new leaders.
    is_turn_of_numbers: bool,
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The broker with this number answered at the address that the cluster has for it.
    FromBroker(i32),
    /// A broker that librdkafka chose answered.
    FromSomebody,
    /// Somebody answered, at an address of the configuration, say, while every broker that the answer names refuses.
    Hearsay,
}

impl Probing {
    /// A client that has not been probed; the first probe is due now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_out: false,
            next: now,
            last: None,
            silent: 0,
            answers: 0,
            brokers: Vec::new(),
            asked: None,
            doubted: None,
            is_turn_of_numbers: true,
        }
    }

    /// When the next probe is due; None while one is on its way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.is_out).then_some(self.next)
    }

    /// Probes in a row without an answer.
    pub(super) fn silent(&self) -> u32 {
        self.silent
    }

    /// Sends a probe, unless one is on its way already; returns whom to ask. A probe of a new client waits for a connection.
    pub(super) fn send(&mut self, is_new: bool, view: &View<'_>) -> Option<Target> {
        if self.is_out {
            return None;
        }
        self.is_out = true;
        self.last = Some(view.now);
        let target = if is_new && !self.is_doubtful(view) { Target::Any } else { self.target(view) };
        self.is_turn_of_numbers = !matches!(target, Target::This(_));
        self.asked = match &target {
            Target::This(broker) => Some(broker.number),
            Target::Any | Target::Connected => None,
        };
        Some(target)
    }

    /// Somebody answered. Unless more probes follow at once, the next one is due after `pause`.
    pub(super) fn answered(&mut self, brokers: Vec<Broker>, pause: Duration, view: &View<'_>) -> Answer {
        self.is_out = false;
        self.answers = self.answers.saturating_add(1);
        self.brokers = brokers;
        let answer = match self.asked {
            Some(number) => Answer::FromBroker(number),
            None if self.is_doubtful(view) || self.all_refuse(view) => Answer::Hearsay,
            None => Answer::FromSomebody,
        };
        if answer == Answer::Hearsay {
            self.doubt(view.now);
            self.next = view.now;
            return answer;
        }
        (self.silent, self.doubted) = (0, None);
        self.next = view.now + if self.answers < FIRST_PROBES { Duration::ZERO } else { pause };
        answer
    }

    /// From now on, until an event is acknowledged, only a broker that is asked by its number is believed.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubted.get_or_insert(now);
    }

    fn is_doubtful(&self, view: &View<'_>) -> bool {
        self.doubted.is_some_and(|since| view.acknowledged_at.is_none_or(|at| at < since))
    }

    /// Whether librdkafka reported an error of each known broker.
    fn all_refuse(&self, view: &View<'_>) -> bool {
        let refuses = |broker: &Broker| view.errors.concern(broker.number, view.now);
        !self.brokers.is_empty() && self.brokers.iter().all(refuses)
    }

    /// No broker answered within `waited`. The next probe follows as if this one had taken its time: it may fail at once.
    pub(super) fn stayed_silent(&mut self, waited: Duration, now: Instant) {
        self.is_out = false;
        self.silent += 1;
        self.next = now + PROBE_TIMEOUT.saturating_sub(waited);
    }

    /// The cluster is out of reach.
    pub(super) fn slow_down(&mut self, view: &View<'_>) {
        if let Some(sent) = self.last {
            self.next = self.next.max(sent + pause_of_outage(view));
        }
    }

    /// Nothing is probed before this pause is over; a new round begins then.
    pub(super) fn rest(&mut self, pause: Duration, now: Instant) {
        self.silent = 0;
        self.next = now + pause;
    }

    /// The next probe is due after this pause.
    pub(super) fn postpone(&mut self, pause: Duration, now: Instant) {
        self.next = now + pause;
    }

    /// Moves the next probe to the end of the pause after the last one, if that is earlier.
    pub(super) fn hurry(&mut self, view: &View<'_>) {
        if let Some(sent) = self.last {
            self.next = self.next.min(sent + pause_of_outage(view));
        }
    }

    /// Whether the last probe was sent that lately.
    pub(super) fn was_sent_within(&self, time: Duration, now: Instant) -> bool {
        self.last.is_some_and(|sent| now < sent + time)
    }

    /// Whether a probe was sent a moment ago and nothing was acknowledged since, so that another one would only make
    /// librdkafka connect once more.
    pub(super) fn was_sent_lately(&self, view: &View<'_>) -> bool {
        self.last.is_some_and(|sent| {
            let was_acknowledged = view.acknowledged_at.is_some_and(|at| at > sent);
            !was_acknowledged && view.now < sent + pause_of_outage(view)
        })
    }

    /// librdkafka chooses the broker. After a silent probe, ask two other known brokers by their numbers before asking
    /// librdkafka again: an idle client may hold one connection, to a broker that hangs. A broker that reported an error
    /// is not asked by its number.
    ///
    /// In doubt each broker is asked by its number, in turn, with a probe of the other kind in between.
    fn target(&self, view: &View<'_>) -> Target {
        if self.is_doubtful(view) && self.is_turn_of_numbers {
            let turn = (self.silent / 2) as usize % self.brokers.len().max(1);
            return self.brokers.get(turn).cloned().map_or(Target::Any, Target::This);
        }
        let (round, turn) = if self.is_doubtful(view) { (0, 0) } else { (self.silent / ROUND, self.silent % ROUND) };
        let broker = turn.checked_sub(1).and_then(|turn| {
            let nth = turn + round * (ROUND - 1);
            self.brokers.get(nth as usize % self.brokers.len().max(1))
        });
        match broker.filter(|broker| !view.errors.concern(broker.number, view.now)) {
            Some(broker) => Target::This(broker.clone()),
            None if view.errors.text(view.now).is_some() => Target::Connected,
            None => Target::Any,
        }
    }
}

/// Pause between the beginnings of two probes in an outage. While brokers refuse, each one makes librdkafka connect.
fn pause_of_outage(view: &View<'_>) -> Duration {
    if view.errors.text(view.now).is_some() {
        WATCH_INTERVAL
    } else {
        PROBE_TIMEOUT
    }
}
