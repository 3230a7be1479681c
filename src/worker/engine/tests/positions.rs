//! What is committed, and what is read back.

use std::time::Duration;

use super::scene::{id, limits, partition, Scene, BEGAN_MS};
use crate::worker::engine::attempt::{AttemptResult, Failure};
use crate::worker::engine::identity::{Generation, RecordId};
use crate::worker::engine::input::{Committed, Input};
use crate::worker::engine::limits::Limits;
use crate::worker::engine::notice::Notice;
use crate::worker::engine::record::Parts;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn commits_are_at_least_fifty_milliseconds_apart_and_one_at_a_time() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(3);
    scene.accept(all[1]);
    let (first, positions) = scene.commits().pop().unwrap();
    assert_eq!((positions[0].offset, &positions[0].metadata[..]), (0, "ke1:0:AQE"), "the done set changed");
    scene.accept(all[0]);
    scene.leap(SECOND);
    assert!(scene.commits().is_empty(), "one is in flight");
    scene.input(Input::CommitEnded(first, Ok(())));
    let (second, positions) = scene.commits().pop().unwrap();
    assert_eq!((positions[0].offset, &positions[0].metadata[..]), (2, "ke1:2:"));
    scene.input(Input::CommitEnded(second, Ok(())));
    scene.accept(all[2]);
    assert!(scene.commits().is_empty(), "too early");
    scene.pass(Duration::from_millis(50));
    assert_eq!(scene.commits().len(), 1);
    assert!(!scene.saw(|notice| matches!(notice, Notice::CommitFailed(_))));
}

#[test]
fn a_commit_that_failed_is_tried_again() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    scene.accept(id);
    let (commit, positions) = scene.commits().pop().unwrap();
    scene.input(Input::CommitEnded(commit, Err("REQUEST_TIMED_OUT")));
    assert!(scene.saw(|notice| *notice == Notice::CommitFailed("REQUEST_TIMED_OUT")));
    scene.pass(SECOND);
    assert_eq!(scene.commits().pop().unwrap().1, positions);
}

#[test]
fn no_record_starts_while_kafka_refuses_a_commit() {
    let mut scene = Scene::new();
    let first = scene.fetch("key");
    scene.accept(first);
    scene.started();
    let (refused, _) = scene.commits().pop().unwrap();
    scene.input(Input::CommitEnded(refused, Err("REBALANCE_IN_PROGRESS")));
    scene.fetch("other");
    assert!(scene.started().is_empty(), "it would be repeated as well if the worker died now");
    scene.pass(SECOND);
    let (stored, _) = scene.commits().pop().unwrap();
    assert!(scene.started().is_empty());
    scene.input(Input::CommitEnded(stored, Ok(())));
    assert_eq!(scene.started(), [1]);
}

#[test]
fn a_refused_commit_of_a_partition_that_is_gone_holds_no_other_back() {
    let mut scene = Scene::new();
    let first = scene.fetch("key");
    scene.accept(first);
    scene.started();
    let (refused, _) = scene.commits().pop().unwrap();
    scene.input(Input::CommitEnded(refused, Err("ILLEGAL_GENERATION")));
    scene.input(Input::Lost(vec![Generation(1)]));
    let other = Generation(2);
    scene.input(Input::Assigned(vec![(partition(), other)]));
    scene.input(Input::CommittedRead(other, Some(Committed::default())));
    scene.fetch_parts(Parts {
        id: RecordId { generation: other, offset: 0 },
        partition: partition(),
        timestamp_ms: BEGAN_MS,
        key: None,
        value: Some(br#"{"email_type": "welcome", "recipient": "anna@example.org"}"#.to_vec()),
        headers: Vec::new(),
    });
    assert_eq!(scene.started(), [0]);
}

#[test]
fn records_wait_for_the_done_set_for_five_seconds() {
    let mut scene = Scene::before_assignment(limits());
    scene.input(Input::Assigned(vec![(partition(), Generation(1))]));
    scene.fetch("key");
    scene.pass(Duration::from_millis(4999));
    assert!(scene.started().is_empty());
    scene.pass(Duration::from_millis(1));
    assert_eq!(scene.started(), [0]);
    assert!(scene.saw(|notice| matches!(notice, Notice::DoneSetUnread(_))));
}

#[test]
fn a_topic_that_was_created_again_inherits_nothing() {
    let mut scene = Scene::before_assignment(limits());
    scene.input(Input::Assigned(vec![(partition(), Generation(1))]));
    let committed = Committed { offset: Some(2), metadata: b"ke1:2:AQI".to_vec() };
    scene.input(Input::CommittedRead(Generation(1), Some(committed)));
    scene.fetch_many(5);
    assert_eq!(scene.started(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_log_that_was_cut_off_begins_anew() {
    let mut scene = Scene::new();
    scene.fetch_many(3);
    scene.started();
    let again = Parts {
        id: id(1),
        partition: partition(),
        timestamp_ms: BEGAN_MS,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    scene.fetch_parts(again);
    assert_eq!(scene.cancelled().len(), 3);
    assert_eq!(scene.started(), [1]);
}

#[test]
fn no_record_starts_that_would_make_the_metadata_too_long() {
    let mut scene = Scene::with(Limits { max_connections: 100, ..limits() });
    let mut waiting = Vec::new();
    // Every second record stays unfinished.
    let is_stopped = (0..2000).any(|n| {
        let stays = scene.fetch_with(Some(&format!("stays {n}")), &[("ce_type", "invoice")]);
        let started = scene.started();
        if started.is_empty() {
            return true;
        }
        scene.end(stays, AttemptResult::Failed(Failure::HandlerRetry(Some(Duration::from_mins(30)))));
        waiting.push(stays);
        let done = scene.fetch(&format!("done {n}"));
        scene.started();
        scene.accept(done);
        let handled = scene.fetch_with(Some(&format!("handled {n}")), &[("ce_type", "invoice")]);
        scene.started();
        scene.end(handled, AttemptResult::Handled);
        false
    });
    assert!(is_stopped && waiting.len() > 1000, "{}", waiting.len());
    scene.leap(Duration::from_mins(30));
    let mut finished = 0;
    loop {
        let started = scene.started();
        if started.is_empty() {
            break;
        }
        finished += started.len();
        for offset in started {
            scene.end(id(offset), AttemptResult::Handled);
        }
    }
    assert!(finished > waiting.len(), "those that wait start again, and then those that were stopped");
    assert_eq!(scene.engine.gauges().oldest_unfinished_ms, None);
}
