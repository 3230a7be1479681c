//! How partitions are given back, and how the worker ends.

use std::sync::Arc;
use std::time::Duration;

use super::scene::{partition, refused, Scene, BEGAN_MS};
use crate::smtp::Stage;
use crate::worker::engine::action::DrainReport;
use crate::worker::engine::identity::{Generation, PartitionId, RecordId};
use crate::worker::engine::input::{Committed, Input};
use crate::worker::engine::notice::Notice;
use crate::worker::engine::record::Parts;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_revoked_partition_is_given_back_after_its_last_commit() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(2);
    scene.fetch("lane 0");
    scene.started();
    scene.input(Input::Revoked(vec![Generation(1)]));
    scene.accept(all[0]);
    assert!(scene.started().is_empty(), "no new record starts");
    let (early, _) = scene.commits().pop().unwrap();
    scene.end(all[1], refused(Stage::Rcpt, 550));
    scene.input(Input::CommitEnded(early, Ok(())));
    scene.pass(SECOND);
    assert!(scene.unassigned().is_empty(), "the dead letter is awaited");
    scene.input(Input::DeadLetterEnded(all[1], Ok(())));
    let (last, positions) = scene.commits().pop().unwrap();
    assert_eq!(positions[0].offset, 2);
    assert!(scene.unassigned().is_empty(), "the acknowledgement is awaited");
    scene.input(Input::CommitEnded(last, Ok(())));
    assert_eq!(scene.unassigned(), [[(partition(), Generation(1))]]);
    assert_eq!(scene.engine.next_wake(), None);
}

#[test]
fn a_revocation_waits_for_records_and_for_the_commit_only_so_long() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(2);
    scene.accept(all[0]);
    scene.input(Input::Revoked(vec![Generation(1)]));
    scene.pass(Duration::from_secs(25));
    assert_eq!(scene.cancelled(), [all[1].offset]);
    assert!(scene.saw(|notice| matches!(notice, Notice::DrainIncomplete(1))));
    scene.pass(Duration::from_millis(1999));
    assert!(scene.unassigned().is_empty());
    scene.pass(Duration::from_millis(1));
    assert_eq!(scene.unassigned().len(), 1);
}

#[test]
fn a_drain_reports_what_finished_and_what_was_cut_off() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(3);
    scene.input(Input::Drain);
    scene.accept(all[0]);
    let (commit, _) = scene.commits().pop().unwrap();
    scene.input(Input::CommitEnded(commit, Ok(())));
    scene.accept(all[1]);
    scene.pass(Duration::from_secs(30));
    assert_eq!(scene.drained(), [DrainReport { finished: 2, abandoned: 1 }]);
    scene.input(Input::Assigned(vec![(partition(), Generation(2))]));
    assert_eq!(scene.unassigned().len(), 2, "what is assigned later is given back at once");
}

#[test]
fn a_drain_without_work_is_over_at_once_and_an_abort_always_is() {
    let mut scene = Scene::new();
    scene.input(Input::Drain);
    assert_eq!(scene.drained(), [DrainReport::default()]);
    let mut scene = Scene::new();
    scene.fetch_many(3);
    scene.input(Input::Drain);
    scene.input(Input::Abort);
    assert_eq!(scene.drained(), [DrainReport { finished: 0, abandoned: 3 }]);
    assert_eq!((scene.cancelled().len(), scene.unassigned().len()), (3, 1));
}

#[test]
fn when_the_client_dies_its_records_are_abandoned() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(3);
    scene.accept(all[0]);
    scene.input(Input::ClientDied);
    assert_eq!((scene.cancelled().len(), scene.unassigned().len()), (2, 0));
    scene.input(Input::Assigned(vec![(partition(), Generation(2))]));
    scene.input(Input::CommittedRead(Generation(2), Some(Committed::default())));
    scene.accept(all[1]);
    assert_eq!(scene.commits().len(), 1, "the one from before");
}

#[test]
fn a_revocation_during_a_drain_takes_no_longer_than_the_drain() {
    let mut scene = Scene::new();
    scene.fetch("key");
    scene.input(Input::Drain);
    scene.pass(Duration::from_secs(20));
    scene.input(Input::Revoked(vec![Generation(1)]));
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.drained(), [DrainReport { finished: 0, abandoned: 1 }]);
    assert_eq!(scene.unassigned().len(), 1);
}

#[test]
fn other_partitions_go_on_during_a_revocation() {
    let mut scene = Scene::new();
    scene.fetch("key");
    let other = PartitionId::new(Arc::from("mails"), 1);
    scene.input(Input::Assigned(vec![(other.clone(), Generation(2))]));
    scene.input(Input::CommittedRead(Generation(2), Some(Committed::default())));
    let record = |offset| Parts {
        id: RecordId { generation: Generation(2), offset },
        partition: other.clone(),
        timestamp_ms: BEGAN_MS,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    scene.fetch_parts(record(7));
    scene.fetch_parts(record(8));
    assert_eq!(scene.started(), [0, 7]);
    scene.input(Input::Revoked(vec![Generation(1)]));
    scene.accept(RecordId { generation: Generation(2), offset: 7 });
    assert_eq!(scene.started(), [8]);
    assert!(scene.unassigned().is_empty());
}
