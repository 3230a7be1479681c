//! Whom the connection asks, how often, and whose answer it believes.

use std::time::Duration;

use super::super::probing::WATCH_INTERVAL;
use super::super::state::{Action, GivesUp, Input, Target};
use super::life::{broker, Life};
use crate::kafka::health::ClusterHealth;
use crate::kafka::librdkafka::Code;

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
fn acknowledgements_take_the_place_of_probes() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
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

/// `advertised.listeners` is wrong: the address of the configuration answers, and those that it names refuse.
#[test]
fn an_answer_from_elsewhere_does_not_hide_that_every_broker_refuses() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
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
    assert!(targets.iter().step_by(2).all(|target| matches!(target, Target::This(_))), "{targets:?}");
    assert!(targets.iter().skip(1).step_by(2).all(|target| *target == Target::Connected), "{targets:?}");
    assert!(matches!(life.health(health)[..], [ClusterHealth::Ill(cause)] if cause.contains("broker-1:9092")));
    assert_eq!(life.log(), ["kafka_unreachable"]);
    // librdkafka has nothing to send, and so it does not repeat what it said.
    life.after(Duration::from_mins(1));
    let health = life.ask_health();
    life.silence();
    assert!(matches!(life.health(health)[..], [ClusterHealth::Ill(_)]));
    while !matches!(asked(&mut life), Target::This(_)) {
        life.answer();
        assert_eq!(life.state(), "unreachable", "somebody else answered");
    }
    life.answer();
    assert_eq!((life.state(), life.log().last()), ("connected", Some(&"kafka_recovered")));
}

#[test]
fn a_start_is_answered_although_the_brokers_that_the_answer_names_refuse() {
    let mut life = Life::in_state("connecting", GivesUp::AfterAttempts);
    let start = life.ask_start();
    life.all_refuse();
    life.answer();
    assert!(matches!(life.start_result(start)[..], [Ok(())]));
    assert!(matches!(asked(&mut life), Target::This(_)));
}

#[test]
fn one_broker_that_refuses_nothing_is_believed() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    life.answer();
    life.all_refuse();
    life.errors.forget(2);
    let health = life.ask_health();
    life.answer();
    assert!(matches!(life.health(health)[..], [ClusterHealth::Well { .. }]));
}

#[test]
fn after_a_stall_only_a_broker_at_its_own_address_is_believed_until_an_event_is_acknowledged() {
    let mut life = Life::in_state("stalled", GivesUp::AfterAttempts);
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

#[test]
fn while_one_broker_hangs_the_others_are_asked_by_their_numbers() {
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
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
    let mut life = Life::in_state("connected", GivesUp::AfterAttempts);
    asked(&mut life);
    life.silence();
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    assert_eq!(asked(&mut life), Target::Connected);
    life.silence();
    assert_eq!(asked(&mut life), Target::This(broker(2)));
}

#[test]
fn neither_errors_nor_questions_make_more_probes_in_an_outage() {
    let mut life = Life::in_state("unreachable", GivesUp::AfterAttempts);
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
    let mut life = Life::in_state("unreachable", GivesUp::AfterAttempts);
    life.errors.note(Code::BrokerTransportFailure, "a:1/1: Connection refused", life.now);
    asked(&mut life);
    life.silence();
    life.publish();
    life.after(Duration::from_millis(10));
    life.acknowledge();
    life.input(Input::Alarmed);
    assert!(matches!(life.done.last(), Some(Action::Probe(_))));
}
