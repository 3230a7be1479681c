//! What the connection does, scene by scene.

use std::time::Duration;

use super::super::machine::{PROBATION, PROBES_OF_ATTEMPT, PROBES_UNTIL_LOST};
use super::super::probing::WATCH_INTERVAL;
use super::super::state::{Action, GivesUp, Input, Target};
use super::life::{closed, fatal, Life};
use crate::kafka::failure::Kind;
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Code;

#[test]
fn any_state_stops_and_answers_every_question() {
    for state in ["starting", "connecting", "connected", "unreachable", "stalled", "rebuilding", "recovering", "failed"]
    {
        let mut life = Life::in_state(state, GivesUp::AfterAttempts);
        let (start, health) = (life.ask_start(), life.ask_health());
        life.input(Input::StopAsked(closed()));
        let (late_start, late_health) = (life.ask_start(), life.ask_health());
        assert_eq!((life.state(), life.connection.next_deadline()), ("stopped", None));
        for ticket in [start, late_start] {
            assert_eq!(life.start_result(ticket).len(), 1, "{state}");
        }
        for ticket in [health, late_health] {
            assert_eq!(life.health(ticket).len(), 1, "{state}");
        }
        assert_eq!(life.start_result(late_start)[0].as_ref().unwrap_err().kind, Kind::CLOSED);
    }
}

#[test]
fn the_start_is_answered_by_the_first_broker_and_the_client_probes_twice() {
    let mut life = Life::in_state("connecting", GivesUp::AfterAttempts);
    let start = life.ask_start();
    life.wait();
    life.after(Duration::from_millis(5));
    life.answer();
    assert!(matches!(life.start_result(start)[..], [Ok(())]));
    assert_eq!(life.connection.next_deadline(), Some(life.now), "the second probe follows at once");
    life.wait();
    life.answer();
    assert_eq!(life.connection.next_deadline(), Some(life.now + WATCH_INTERVAL));
    assert_eq!(life.count(|action| matches!(action, Action::Probe(_))), 2);
}

#[test]
fn whoever_gets_the_answer_of_a_start_finds_the_producer_connected() {
    let mut life = Life::in_state("connecting", GivesUp::AfterAttempts);
    life.ask_start();
    life.answer();
    let place = |is_it: fn(&Action) -> bool| life.done.iter().position(is_it).unwrap();
    assert!(
        place(|action| matches!(action, Action::SetConnected(true)))
            < place(|action| matches!(action, Action::AnswerStart(_, Ok(()))))
    );
}

#[test]
fn an_acknowledgement_proves_a_new_client_without_a_probe_and_ends_the_streak() {
    let mut life = Life::in_state("recovering", GivesUp::AfterAttempts);
    for _ in 0..5 {
        life.after(Duration::from_millis(1));
        life.publish();
        life.acknowledge();
        life.input(Input::Alarmed);
        assert_eq!(life.state(), "connected");
        life.die();
        assert_eq!(life.state(), "recovering", "the next client is built at once");
    }
    life.after(Duration::from_millis(1));
    life.publish();
    life.acknowledge();
    life.die();
    assert_eq!(life.state(), "recovering", "also when the supervisor has not heard of the acknowledgement");
}

#[test]
fn a_new_client_may_miss_four_probes() {
    let mut life = Life::in_state("recovering", GivesUp::AfterAttempts);
    life.done.clear();
    let asked = life.ask_health();
    (1..PROBES_UNTIL_LOST).for_each(|_| life.silence());
    assert_eq!((life.health(asked).len(), life.log().len()), (0, 0));
    life.silence();
    assert_eq!((life.health(asked).len(), life.log()), (1, vec!["kafka_unreachable"]));
}

#[test]
fn a_client_that_cannot_be_built_is_logged_beside_the_one_that_was_and_may_be_published_to_again() {
    let mut life = Life::in_state("recovering", GivesUp::AfterAttempts);
    life.builds_fail = true;
    life.die();
    life.wait();
    assert_eq!(life.log(), ["producer_rebuilt", "producer_lost"]);
    let refused = life.done.iter().rev().find_map(|action| match action {
        Action::RefuseEvents(failure) => Some(failure.kind),
        _ => None,
    });
    assert_eq!(refused, Some(Kind::FATAL), "retriable");
}

#[test]
fn a_new_client_waits_for_a_connection_although_one_address_refused() {
    for state in ["connecting", "recovering"] {
        let mut life = Life::in_state(state, GivesUp::AfterAttempts);
        life.errors.note(Code::BrokerTransportFailure, "a:1/bootstrap: Connection refused", life.now);
        life.done.clear();
        life.wait();
        assert!(matches!(life.done[..], [Action::Probe(Target::Any)]), "{state}");
    }
}

#[test]
fn attempts_pause_longer_each_time_and_the_last_one_names_the_cause() {
    let mut life = Life::in_state("connecting", GivesUp::AfterAttempts);
    let start = life.ask_start();
    life.broker_error(Code::BrokerTransportFailure);
    life.silence();
    assert_eq!(life.connection.next_deadline(), Some(life.now + Duration::from_secs(2)));
    life.broker_error(Code::BrokerTransportFailure);
    assert!(life.start_result(start).is_empty(), "an error of a broker does not shorten the pause");
    life.wait();
    life.silence();
    let failure = life.start_result(start)[0].as_ref().unwrap_err();
    assert!(failure.message.contains("a:1") && failure.message.contains("2 attempts"), "{failure}");
    assert!(failure.message.contains("Connection refused"), "{failure}");
    assert_eq!(life.log(), ["kafka_unreachable"]);
}

#[test]
fn an_attempt_without_any_reply_takes_five_probes() {
    let mut life = Life::in_state("connecting", GivesUp::AfterAttempts);
    for _ in 0..2 * PROBES_OF_ATTEMPT - 1 {
        life.silence();
        assert_eq!(life.state(), "connecting");
    }
    life.silence();
    assert_eq!(life.state(), "failed");
}

#[test]
fn health_waits_for_a_broker_that_may_answer_and_hears_at_once_of_one_that_refuses() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    let patient = life.ask_health();
    life.silence();
    assert!(life.health(patient).is_empty(), "another broker may answer in time");
    life.answer();
    assert!(matches!(life.health(patient)[..], [ClusterHealth::Well { brokers: 3, .. }]));
    let refused = life.ask_health();
    life.broker_error(Code::BrokerTransportFailure);
    life.silence();
    assert!(matches!(life.health(refused)[..], [ClusterHealth::Ill(cause)] if cause.contains("refused")));
}

#[test]
fn health_is_answered_at_its_deadline() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    let asked = life.ask_health();
    life.wait();
    assert_eq!(life.now.duration_since(life.began), Duration::from_secs(2));
    assert!(matches!(life.health(asked)[..], [ClusterHealth::Ill(_)]));
}

/// The third broker is connected, and busy with requests that wait for the two that are gone.
#[test]
fn a_cluster_that_refuses_and_stays_silent_is_lost_within_nine_seconds() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    life.answer();
    let began = life.now;
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    while life.state() == "connected" {
        life.wait();
        life.silence();
    }
    assert!(life.now.duration_since(began) < Duration::from_secs(9));
}

#[test]
fn a_busy_cluster_that_stops_acknowledging_counts_as_stalled_within_seven_seconds() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    for _ in 0..20 {
        life.after(Duration::from_millis(900));
        life.publish();
        life.publish();
        life.acknowledge();
        if life.connection.next_deadline().is_some_and(|deadline| deadline <= life.now) {
            life.input(Input::TimePassed);
        }
    }
    let stopped = life.now;
    while life.state() == "connected" {
        life.wait();
        life.answer();
    }
    let noticed = life.now.duration_since(stopped);
    assert!(noticed < Duration::from_secs(7), "{noticed:?}");
}

#[test]
fn an_outage_is_logged_once_and_its_end_once() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    (0..20).for_each(|_| life.silence());
    life.answer();
    life.answer();
    assert_eq!(life.log(), ["kafka_unreachable", "kafka_recovered"]);
    let connected = |action: &Action| match action {
        Action::SetConnected(is_connected) => Some(*is_connected),
        _ => None,
    };
    let mut changes: Vec<bool> = life.done.iter().filter_map(connected).collect();
    changes.dedup();
    assert_eq!(changes, [true, false, true]);
}

#[test]
fn events_wait_while_the_cluster_is_away_and_for_the_first_client_in_place_of_a_dead_one() {
    for state in ["unreachable", "stalled", "recovering"] {
        let life = Life::in_state(state, GivesUp::AfterAttempts);
        assert_eq!(life.count(|action| matches!(action, Action::RefuseEvents(_))), 0, "{state}");
    }
}

#[test]
fn the_first_dead_client_is_replaced_at_once_and_the_next_ones_after_longer_and_longer_pauses() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    life.die();
    assert_eq!((life.state(), life.count(|action| matches!(action, Action::RefuseEvents(_)))), ("recovering", 0));
    let mut pauses = Vec::new();
    for _ in 0..7 {
        life.answer();
        life.die();
        let before = life.now;
        life.wait();
        pauses.push(life.now.duration_since(before).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(life.count(|action| matches!(action, Action::RefuseEvents(cause) if cause.kind == fatal().kind)), 7);
    assert_eq!(life.log(), ["producer_rebuilt"; 4], "0, 31, 61 and 91 s after the first");
}

#[test]
fn a_client_that_cannot_be_built_is_tried_again() {
    let mut life = Life::in_state("rebuilding", GivesUp::AfterAttempts);
    life.builds_fail = true;
    (0..3).for_each(|_| life.wait());
    assert_eq!((life.state(), life.now.duration_since(life.began).as_secs()), ("rebuilding", 1 + 2 + 4));
    life.builds_fail = false;
    life.wait();
    assert_eq!(life.state(), "recovering");
}

#[test]
fn a_new_client_is_not_well_before_it_has_proved_itself() {
    let mut life = Life::in_state("recovering", GivesUp::AfterAttempts);
    let asked = life.ask_health();
    life.answer();
    assert!(matches!(life.health(asked)[..], [ClusterHealth::Ill(cause)] if cause.contains("grant")));
    life.after(PROBATION);
    life.publish();
    life.answer();
    assert_eq!(life.state(), "recovering", "an event is outstanding: its acknowledgement will tell");
    life.outstanding -= 1;
    life.answer();
    assert_eq!(life.state(), "connected");
}

#[test]
fn a_start_by_itself_fails_when_every_address_refuses_and_waits_for_a_cluster_out_of_reach() {
    let mut refused = Life::in_state("connecting", GivesUp::WhenRefused);
    refused.broker_error(Code::Authentication);
    assert_eq!(refused.state(), "failed");
    assert_eq!(refused.count(|action| matches!(action, Action::GiveUp(failure) if !failure.kind.retriable)), 1);
    let mut unreachable = Life::in_state("connecting", GivesUp::WhenRefused);
    (0..PROBES_OF_ATTEMPT).for_each(|_| unreachable.silence());
    assert_eq!(
        (unreachable.state(), unreachable.count(|action| matches!(action, Action::GiveUp(_)))),
        ("unreachable", 0)
    );
}
