//! The rate, the memory, and what counts as stuck.

use std::time::Duration;

use super::scene::{break_server, id, limits, Scene};
use crate::worker::engine::attempt::{AttemptResult, Message};
use crate::worker::engine::identity::Generation;
use crate::worker::engine::input::Input;
use crate::worker::engine::limits::Limits;
use crate::worker::engine::notice::{Notice, StuckCause};
use crate::worker::engine::rate::Rate;

#[test]
fn mails_leave_at_the_rate() {
    let mut scene = Scene::with(Limits { rate: Some(Rate::parse("2/s").unwrap()), ..limits() });
    let all = scene.fetch_many(9);
    assert_eq!(scene.started().len(), 1);
    scene.pass(Duration::from_millis(1001));
    assert_eq!(scene.started().len(), 2);
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.started().len(), all.len() - 3);
}

#[test]
fn a_backlog_pauses_its_partition_until_half_of_it_is_done() {
    let mut scene = Scene::with(Limits { queued_records: 10, ..limits() });
    let all = scene.fetch_many(10);
    assert!(scene.paused().is_empty());
    scene.fetch("one more");
    assert_eq!(scene.paused(), [true]);
    for id in &all[..5] {
        scene.accept(*id);
    }
    assert!(scene.paused().is_empty());
    scene.accept(all[5]);
    assert_eq!(scene.paused(), [false]);
}

#[test]
fn a_partition_with_lag_and_without_progress_is_stuck() {
    let mut scene = Scene::new();
    let first = scene.fetch("key");
    scene.accept(first);
    scene.input(Input::EndOffset(Generation(1), 5));
    scene.pass(Duration::from_secs(59));
    assert!(!scene.engine.gauges().is_stuck);
    scene.pass(Duration::from_secs(2));
    assert!(scene.engine.gauges().is_stuck);
    assert!(scene.saw(|notice| matches!(notice, Notice::Stuck { cause: StuckCause::NoProgress, .. })));
    scene.fetch("key");
    assert!(!scene.engine.gauges().is_stuck);
}

#[test]
fn an_outage_of_the_mail_server_is_not_stuck_and_an_overdue_record_is() {
    let mut scene = Scene::new();
    break_server(&mut scene);
    scene.input(Input::EndOffset(Generation(1), 100));
    scene.pass(Duration::from_secs(100));
    assert!(!scene.engine.gauges().is_stuck);
    scene.pass(Duration::from_mins(20));
    assert!(scene.engine.gauges().is_stuck, "the probe does not end");
    assert!(scene.saw(|notice| matches!(notice, Notice::Stuck { cause: StuckCause::Overdue, .. })));
}

#[test]
fn a_handler_composes_no_more_mails_than_may_be_at_work_while_smtp_takes_none() {
    let mut scene = Scene::with(Limits { concurrency: 5, ..limits() });
    break_server(&mut scene);
    let mut composed = 0;
    for n in 0..20 {
        scene.fetch_with(Some(&format!("invoice {n}")), &[("ce_type", "invoice")]);
        for offset in scene.started() {
            composed += 1;
            scene.end(id(offset), AttemptResult::Composed(Message((*b"mail").into())));
        }
    }
    assert_eq!(composed, 5);
    scene.leap(Duration::from_secs(1));
    let mut works = 0;
    loop {
        let started = scene.started();
        if started.is_empty() {
            break;
        }
        works += started.len();
        for offset in started {
            scene.end(id(offset), AttemptResult::Accepted(250));
        }
    }
    assert_eq!(
        works, 25,
        "the five mails of before, the five composed ones, and fifteen handlers that deliver themselves"
    );
}
