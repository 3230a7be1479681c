//! What the connection does, scene by scene.

use std::time::Duration;

use super::super::machine::{PROBATION, PROBES_OF_ATTEMPT, PROBES_UNTIL_LOST};
use super::super::probing::WATCH_INTERVAL;
use super::super::state::{Action, Input, Target};
use super::life::{broker, closed, fatal, Life};
use crate::kafka::failure::Kind;
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Code;

#[test]
fn any_state_stops_and_answers_every_question() {
    for state in ["starting", "connecting", "connected", "unreachable", "stalled", "rebuilding", "recovering", "failed"]
    {
        let mut life = Life::in_state(state, true);
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
    let mut life = Life::in_state("connecting", true);
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
    let mut life = Life::in_state("connecting", true);
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
    let mut life = Life::in_state("recovering", true);
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
    let mut life = Life::in_state("recovering", true);
    life.done.clear();
    let asked = life.ask_health();
    (1..PROBES_UNTIL_LOST).for_each(|_| life.silence());
    assert_eq!((life.health(asked).len(), life.log().len()), (0, 0));
    life.silence();
    assert_eq!((life.health(asked).len(), life.log()), (1, vec!["kafka_unreachable"]));
}

#[test]
fn a_client_that_cannot_be_built_is_logged_beside_the_one_that_was_and_may_be_published_to_again() {
    let mut life = Life::in_state("recovering", true);
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
        let mut life = Life::in_state(state, true);
        life.errors.note(Code::BrokerTransportFailure, "a:1/bootstrap: Connection refused", life.now);
        life.done.clear();
        life.wait();
        assert!(matches!(life.done[..], [Action::Probe(Target::Any)]), "{state}");
    }
}

#[test]
fn attempts_pause_longer_each_time_and_the_last_one_names_the_cause() {
    let mut life = Life::in_state("connecting", true);
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
    let mut life = Life::in_state("connecting", true);
    for _ in 0..2 * PROBES_OF_ATTEMPT - 1 {
        life.silence();
        assert_eq!(life.state(), "connecting");
    }
    life.silence();
    assert_eq!(life.state(), "failed");
}

#[test]
fn health_waits_for_a_broker_that_may_answer_and_hears_at_once_of_one_that_refuses() {
    let mut life = Life::in_state("connected", true);
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
    let mut life = Life::in_state("connected", true);
    let asked = life.ask_health();
    life.wait();
    assert_eq!(life.now.duration_since(life.began), Duration::from_secs(2));
    assert!(matches!(life.health(asked)[..], [ClusterHealth::Ill(_)]));
}

#[test]
fn acknowledgements_take_the_place_of_probes() {
    let mut life = Life::in_state("connected", true);
    life.answer();
    for _ in 0..10 {
        life.after(WATCH_INTERVAL.mul_f32(0.7));
        life.publish();
        life.acknowledge();
        life.wait();
    }
    assert_eq!(life.count(|action| matches!(action, Action::Probe(_))), 0);
    life.after(WATCH_INTERVAL);
    life.wait();
    assert_eq!(life.count(|action| matches!(action, Action::Probe(_))), 1);
}

/// The third broker is connected, and busy with requests that wait for the two that are gone.
#[test]
fn a_cluster_that_refuses_and_stays_silent_is_lost_within_nine_seconds() {
    let mut life = Life::in_state("connected", true);
    life.answer();
    let began = life.now;
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    while life.state() == "connected" {
        life.wait();
        life.silence();
    }
    assert!(life.now.duration_since(began) < Duration::from_secs(9));
}

/// `advertised.listeners` is wrong: the address of the configuration answers, and those that it names refuse.
#[test]
fn an_answer_from_elsewhere_does_not_hide_that_every_broker_refuses() {
    let mut life = Life::in_state("connected", true);
    life.answer();
    life.all_refuse();
    let health = life.ask_health();
    life.answer();
    assert!(life.health(health).is_empty(), "the brokers have not been asked yet");
    life.done.clear();
    let mut targets = Vec::new();
    while life.state() == "connected" {
        targets.push(asked(&mut life));
        life.silence();
        life.all_refuse();
    }
    assert!(targets.iter().all(|target| matches!(target, Target::This(_))), "{targets:?}");
    assert!(matches!(life.health(health)[..], [ClusterHealth::Ill(cause)] if cause.contains("broker-1:9092")));
    assert_eq!(life.log(), ["kafka_unreachable"]);
    // librdkafka has nothing to send, and so it does not repeat what it said.
    life.after(Duration::from_mins(1));
    let health = life.ask_health();
    assert!(matches!(life.done.last(), Some(Action::Probe(Target::This(_)))));
    life.silence();
    assert!(matches!(life.health(health)[..], [ClusterHealth::Ill(_)]));
    assert!(matches!(asked(&mut life), Target::This(_)));
    life.answer();
    assert_eq!((life.state(), life.log().last()), ("connected", Some(&"kafka_recovered")));
}

#[test]
fn a_start_is_answered_although_the_brokers_that_the_answer_names_refuse() {
    let mut life = Life::in_state("connecting", true);
    let start = life.ask_start();
    life.all_refuse();
    life.answer();
    assert!(matches!(life.start_result(start)[..], [Ok(())]));
    life.all_refuse();
    life.wait();
    life.answer();
    assert!(matches!(asked(&mut life), Target::This(_)));
}

#[test]
fn one_broker_that_refuses_nothing_is_believed() {
    let mut life = Life::in_state("connected", true);
    life.answer();
    life.all_refuse();
    life.errors.forget(2);
    let health = life.ask_health();
    life.answer();
    assert!(matches!(life.health(health)[..], [ClusterHealth::Well { .. }]));
}

#[test]
fn after_a_stall_only_a_broker_at_its_own_address_is_believed_until_an_event_is_acknowledged() {
    let mut life = Life::in_state("stalled", true);
    life.outstanding = 0;
    assert!(matches!(asked(&mut life), Target::This(_)));
    life.silence();
    assert_eq!(life.state(), "unreachable");
    life.publish();
    life.after(Duration::from_millis(1));
    life.acknowledge();
    life.input(Input::Alarmed);
    life.answer();
    assert_eq!((life.state(), asked(&mut life)), ("connected", Target::Any));
}

/// The next probe.
fn asked(life: &mut Life) -> Target {
    life.after(WATCH_INTERVAL);
    life.input(Input::TimePassed);
    match life.done.pop() {
        Some(Action::Probe(target)) => target,
        other => panic!("no probe but {other:?}"),
    }
}

#[test]
fn a_busy_cluster_that_stops_acknowledging_counts_as_stalled_within_seven_seconds() {
    let mut life = Life::in_state("connected", true);
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
fn while_one_broker_hangs_the_others_are_asked_by_their_numbers() {
    let mut life = Life::in_state("connected", true);
    let mut targets = Vec::new();
    for _ in 0..7 {
        targets.push(asked(&mut life));
        life.silence();
    }
    let this = |number| Target::This(broker(number));
    assert_eq!(targets, [Target::Any, this(1), this(2), Target::Any, this(3), this(1), Target::Any]);
}

#[test]
fn a_broker_that_refuses_is_not_asked_by_its_number_and_nobody_waits_for_a_connection() {
    let mut life = Life::in_state("connected", true);
    asked(&mut life);
    life.silence();
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    assert_eq!(asked(&mut life), Target::Connected);
    life.silence();
    assert_eq!(asked(&mut life), Target::This(broker(2)));
}

#[test]
fn neither_errors_nor_questions_make_more_probes_in_an_outage() {
    let mut life = Life::in_state("unreachable", true);
    life.done.clear();
    for _ in 0..1000 {
        life.after(Duration::from_millis(10));
        life.broker_error(Code::BrokerTransportFailure);
        life.ask_health();
        if life.connection.next_deadline().is_some_and(|deadline| deadline <= life.now) {
            life.input(Input::TimePassed);
        }
        if life.connection.probing.deadline().is_none() {
            life.input(Input::Silent { code: "NETWORK_EXCEPTION", waited: Duration::ZERO });
        }
    }
    let probes = life.count(|action| matches!(action, Action::Probe(_)));
    assert!((3..=4).contains(&probes), "{probes} probes in 10 s");
    assert_eq!(life.count(|action| matches!(action, Action::AnswerHealth(_, ClusterHealth::Ill(_)))), 1000);
}

#[test]
fn an_acknowledgement_ends_an_outage_at_once() {
    let mut life = Life::in_state("unreachable", true);
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    asked(&mut life);
    life.silence();
    life.publish();
    life.after(Duration::from_millis(10));
    life.acknowledge();
    life.input(Input::Alarmed);
    assert!(matches!(life.done.last(), Some(Action::Probe(_))));
}

#[test]
fn an_outage_is_logged_once_and_its_end_once() {
    let mut life = Life::in_state("connected", true);
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
fn the_first_dead_client_is_replaced_at_once_and_the_next_ones_after_longer_and_longer_pauses() {
    let mut life = Life::in_state("connected", true);
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
    let mut life = Life::in_state("rebuilding", true);
    life.builds_fail = true;
    (0..3).for_each(|_| life.wait());
    assert_eq!((life.state(), life.now.duration_since(life.began).as_secs()), ("rebuilding", 1 + 2 + 4));
    life.builds_fail = false;
    life.wait();
    assert_eq!(life.state(), "recovering");
}

#[test]
fn a_new_client_is_not_well_before_it_has_proved_itself() {
    let mut life = Life::in_state("recovering", true);
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
