//! What the specification says of retries, breakers, dead letters, age, commits and drains, sentence by sentence.

use std::time::Duration;

use super::scene::{
    failed, greylisted, header, id, limits, lost_reply, no_server, partition, refused, value, Scene, BEGAN_MS,
};
use crate::worker::action::DrainReport;
use crate::worker::attempt::{AttemptResult, Failure, SmtpCause, Stage, Target};
use crate::worker::dead_letter::{replay, DeadLetter};
use crate::worker::identity::{Generation, RecordId};
use crate::worker::input::{Committed, Input};
use crate::worker::limits::{Limits, OnUnknown};
use crate::worker::notice::{Notice, StuckCause};
use crate::worker::rate::Rate;
use crate::worker::record::{Parts, Poison, Record};

const SECOND: Duration = Duration::from_secs(1);

/// Five records of as many lanes find no server.
fn break_server(scene: &mut Scene) -> Vec<RecordId> {
    let all = scene.fetch_many(5);
    loop {
        let started = scene.started();
        if started.is_empty() {
            return all;
        }
        started.into_iter().for_each(|offset| scene.end(id(offset), no_server()));
    }
}

/// The next record that the breaker admits.
fn probe(scene: &mut Scene) -> RecordId {
    let started = scene.started();
    assert_eq!(started.len(), 1, "one probe");
    id(started[0])
}

#[test]
fn a_breaker_opens_after_five_failures_of_different_records() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(5);
    for (n, id) in all.iter().enumerate() {
        assert!(!scene.engine.gauges().is_breaker_open, "after {n}");
        scene.end(*id, greylisted());
    }
    assert!(scene.engine.gauges().is_breaker_open);
    assert!(scene.saw(|notice| matches!(notice, Notice::Unavailable { target: Target::Smtp, .. })));
    scene.started();
    scene.fetch("another");
    assert!(scene.started().is_empty(), "nobody is admitted");
}

#[test]
fn one_record_that_fails_again_and_again_opens_no_breaker() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    for _ in 0..10 {
        scene.end(id, greylisted());
        scene.leap(Duration::from_mins(5));
    }
    assert!(!scene.engine.gauges().is_breaker_open);
}

#[test]
fn a_server_that_is_away_opens_the_breaker_even_for_a_single_record() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    for _ in 0..5 {
        assert_eq!(scene.started(), [id.offset], "a server-wide failure has no delay of its own");
        scene.end(id, no_server());
    }
    assert!(scene.started().is_empty() && scene.engine.gauges().is_breaker_open);
}

#[test]
fn a_failure_of_auth_opens_the_breaker_at_once() {
    for result in [failed(Stage::Auth, SmtpCause::NoToken), refused(Stage::Mail, 530), refused(Stage::Rcpt, 535)] {
        let mut scene = Scene::new();
        let id = scene.fetch("key");
        scene.end(id, result);
        assert!(scene.engine.gauges().is_breaker_open);
    }
}

#[test]
fn a_permanent_failure_neither_counts_nor_ends_the_streak_and_a_delivery_ends_it() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(10);
    all[..4].iter().for_each(|id| scene.end(*id, greylisted()));
    scene.end(all[4], refused(Stage::Rcpt, 550));
    assert!(!scene.engine.gauges().is_breaker_open, "it does not count");
    scene.accept(all[5]);
    scene.end(all[6], greylisted());
    assert!(!scene.engine.gauges().is_breaker_open, "the streak begins anew");
    let mut scene = Scene::new();
    let all = scene.fetch_many(6);
    all[..4].iter().for_each(|id| scene.end(*id, greylisted()));
    scene.end(all[4], refused(Stage::Rcpt, 550));
    scene.end(all[5], greylisted());
    assert!(scene.engine.gauges().is_breaker_open, "it does not end the streak");
}

#[test]
fn probes_come_from_another_lane_each_time_and_their_pauses_double_up_to_a_minute() {
    let mut scene = Scene::new();
    break_server(&mut scene);
    let mut last = None;
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        scene.leap(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(scene.started().is_empty(), "not before {pause} s");
        scene.leap(Duration::from_millis(1));
        let probe = probe(&mut scene);
        assert_ne!(Some(probe), last.replace(probe), "another lane");
        scene.end(probe, no_server());
    }
    scene.leap(Duration::from_mins(1));
    let probe = probe(&mut scene);
    scene.notices();
    scene.accept(probe);
    assert_eq!(scene.started().len(), 4, "all others");
    assert!(scene.saw(|notice| matches!(notice, Notice::Recovered { after, .. } if after.as_secs() == 243)));
}

#[test]
fn a_probe_that_cannot_be_prepared_or_is_refused_makes_way_for_the_next() {
    let mut scene = Scene::new();
    break_server(&mut scene);
    scene.leap(SECOND);
    let first = probe(&mut scene);
    scene.end(first, AttemptResult::Failed(Failure::NotRendered));
    let second = probe(&mut scene);
    scene.end(second, refused(Stage::Rcpt, 550));
    let third = probe(&mut scene);
    scene.accept(third);
    assert!(!scene.engine.gauges().is_breaker_open);
}

#[test]
fn each_handler_has_a_breaker_of_its_own() {
    let mut scene = Scene::new();
    for n in 0..5 {
        let id = scene.fetch_with(Some(&format!("invoice {n}")), &[("ce_type", "invoice")]);
        scene.end(id, AttemptResult::Failed(Failure::HandlerFailed));
    }
    scene.started();
    assert!(scene.engine.gauges().is_breaker_open);
    scene.fetch_with(Some("invoice"), &[("ce_type", "invoice")]);
    assert!(scene.started().is_empty());
    let mail = scene.fetch("mail");
    assert_eq!(scene.started(), [mail.offset]);
}

#[test]
fn when_most_verdicts_are_permanent_nothing_is_buried_for_an_hour() {
    let mut scene = Scene::new();
    for n in 0..20 {
        let id = scene.fetch(&format!("refused {n}"));
        scene.end(id, refused(Stage::Rcpt, 550));
    }
    assert_eq!(scene.buried().len(), 19, "the twentieth opens the breaker and is kept");
    assert!(scene.saw(|notice| matches!(notice, Notice::RefusalsHigh { is_on: true, .. })));
    for _ in 0..70 {
        scene.started().into_iter().for_each(|offset| scene.end(id(offset), refused(Stage::Rcpt, 550)));
        scene.leap(Duration::from_secs(50));
    }
    assert!(scene.buried().is_empty());
    scene.leap(Duration::from_secs(200));
    assert!(scene.saw(|notice| matches!(notice, Notice::RefusalsHigh { is_on: false, .. })));
    scene.started().into_iter().for_each(|offset| scene.end(id(offset), refused(Stage::Rcpt, 550)));
    assert_eq!(scene.reasons(), [(19, "permanent".into())], "burying resumes");
}

#[test]
fn a_delivery_lets_records_be_buried_again() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(22);
    all[..20].iter().for_each(|id| scene.end(*id, refused(Stage::Rcpt, 550)));
    scene.buried();
    scene.leap(SECOND);
    scene.accept(all[20]);
    assert!(scene.saw(|notice| matches!(notice, Notice::RefusalsHigh { is_on: false, .. })));
    scene.end(all[21], refused(Stage::Rcpt, 550));
    assert_eq!(scene.buried().len(), 1);
}

#[test]
fn poison_is_buried_however_much_of_it_there_is() {
    let mut scene = Scene::new();
    for id in scene.fetch_many(10).into_iter().chain(scene.fetch_many(40)) {
        scene.end(id, AttemptResult::Failed(Failure::Undecodable));
    }
    assert_eq!(scene.buried().len(), 50);
}

#[test]
fn a_record_that_fails_for_retry_for_is_buried_and_an_open_breaker_does_not_count() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(5);
    all.iter().for_each(|id| scene.end(*id, greylisted()));
    // Open for nearly a day.
    for _ in 0..24 * 60 {
        scene.leap(Duration::from_mins(1));
        scene.started().into_iter().for_each(|offset| scene.end(id(offset), no_server()));
    }
    assert!(scene.buried().is_empty());
    scene.leap(Duration::from_mins(1));
    let probe = probe(&mut scene);
    scene.accept(probe);
    let rest = scene.started();
    assert_eq!(rest.len(), 4);
    for round in 0..11 {
        for offset in all.iter().map(|id| id.offset).filter(|offset| *offset != probe.offset) {
            scene.end(id(offset), greylisted());
            let other = scene.fetch(&format!("{round} {offset}"));
            scene.accept(other);
        }
        assert!(scene.buried().is_empty(), "{round}");
        scene.leap(Duration::from_mins(5));
    }
    rest.iter().for_each(|offset| scene.end(id(*offset), greylisted()));
    scene.leap(Duration::from_mins(5));
    let reasons = scene.reasons();
    assert_eq!(reasons.len(), 4);
    assert!(reasons.iter().all(|(_, reason)| reason == "retries"));
}

#[test]
fn a_dead_letter_has_the_record_and_the_reason() {
    let mut scene = Scene::new();
    let id = scene.fetch_with(Some("key"), &[("ce_id", "one"), ("dlt-replays", "2"), ("tenant", "a")]);
    scene.end(id, greylisted());
    scene.leap(SECOND);
    scene.end(id, refused(Stage::Dot, 554));
    let (_, letter) = scene.buried().pop().unwrap();
    assert_eq!(letter.topic, "mails-dlt");
    assert_eq!(letter.record.key(), Some(&b"key"[..]));
    let found: Vec<(&str, &str)> = letter
        .headers
        .iter()
        .map(|(name, value)| (&name[..], str::from_utf8(value.as_ref().unwrap()).unwrap()))
        .collect();
    let (began, failed) = (BEGAN_MS.to_string(), (BEGAN_MS + 1000).to_string());
    let expected = [
        ("ce_id", "one"),
        ("tenant", "a"),
        ("dlt-topic", "mails"),
        ("dlt-partition", "0"),
        ("dlt-offset", "0"),
        ("dlt-timestamp", &began),
        ("dlt-group", "kafka-email-worker"),
        ("dlt-reason", "permanent"),
        ("dlt-stage", "dot"),
        ("dlt-code", "554"),
        ("dlt-enhanced-code", "5.1.1"),
        ("dlt-attempts", "2"),
        ("dlt-first-failed-at", &began),
        ("dlt-failed-at", &failed),
        ("dlt-replays", "2"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_dead_letter_without_a_reply_has_no_code_and_begins_with_no_replays() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    scene.end(id, AttemptResult::Failed(Failure::NotRendered));
    let (_, letter) = scene.buried().pop().unwrap();
    assert_eq!(value(&letter, "dlt-reason").as_deref(), Some("template"));
    assert_eq!(value(&letter, "dlt-stage").as_deref(), Some("render"));
    assert_eq!(value(&letter, "dlt-code"), None);
    assert_eq!(value(&letter, "dlt-replays").as_deref(), Some("0"));
}

#[test]
fn a_replay_is_the_record_but_for_the_number_of_replays() {
    let mut scene = Scene::new();
    let headers = [("ce_id", "one"), ("traceparent", "x"), ("ce_id", "two")];
    let id = scene.fetch_with(None, &headers);
    scene.end(id, refused(Stage::Rcpt, 550));
    let (_, letter) = scene.buried().pop().unwrap();
    let mut expected: Vec<_> = headers.iter().map(|(name, value)| header(name, value)).collect();
    expected.push(header("dlt-replays", "1"));
    let (topic, replayed) = replay(&letter.headers).unwrap();
    assert_eq!((&topic[..], &replayed), ("mails", &expected));
    let again = DeadLetter { headers: replayed, ..letter };
    assert_eq!(replay(&again.headers), None, "a record is no dead letter");
}

#[test]
fn a_dead_letter_that_is_not_stored_is_produced_again() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    scene.end(id, refused(Stage::Rcpt, 550));
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(scene.buried().len(), 1);
        scene.input(Input::DeadLetterStored(id, false));
        scene.leap(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(scene.buried().is_empty(), "not before {pause} s");
        scene.leap(Duration::from_millis(1));
    }
    scene.input(Input::DeadLetterStored(id, true));
    assert!(scene.saw(|notice| matches!(notice, Notice::DeadLettered { attempts: 1, .. })));
}

#[test]
fn a_mail_whose_fate_is_unknown_is_sent_again_or_buried() {
    for (on_unknown, reasons) in [(OnUnknown::Resend, vec![]), (OnUnknown::DeadLetter, vec![(0, "unknown".to_owned())])]
    {
        let mut scene = Scene::with(Limits { on_unknown, ..limits() });
        let id = scene.fetch("key");
        scene.started();
        scene.end(id, lost_reply());
        scene.leap(SECOND);
        assert_eq!(scene.started().len(), 1 - reasons.len());
        assert_eq!(scene.reasons(), reasons);
    }
}

#[test]
fn a_handler_chooses_its_delay() {
    let mut scene = Scene::new();
    let id = scene.fetch_with(Some("key"), &[("ce_type", "invoice")]);
    scene.started();
    scene.end(id, AttemptResult::Failed(Failure::HandlerRetry(Some(Duration::from_mins(7)))));
    scene.leap(Duration::from_secs(419));
    assert!(scene.started().is_empty());
    scene.leap(SECOND);
    assert_eq!(scene.started(), [id.offset]);
}

#[test]
fn a_record_is_too_old_after_its_expiry_whatever_it_waits_for() {
    let expires = (BEGAN_MS + 60_000).to_string();
    let mut scene = Scene::new();
    let waiting = scene.fetch_with(Some("a"), &[("expires-at", &expires), ("ce_type", "invoice")]);
    scene.end(waiting, AttemptResult::Failed(Failure::HandlerRetry(Some(Duration::from_mins(30)))));
    break_server(&mut scene);
    let ready = scene.fetch_with(Some("b"), &[("expires-at", &expires)]);
    let behind = scene.fetch_with(Some("b"), &[("expires-at", &expires)]);
    scene.leap(Duration::from_millis(59_999));
    scene.started().into_iter().for_each(|offset| scene.end(id(offset), no_server()));
    assert!(scene.buried().is_empty());
    scene.leap(Duration::from_millis(1));
    let mut reasons = scene.reasons();
    reasons.sort();
    assert_eq!(reasons, [waiting, ready, behind].map(|id| (id.offset, "too_old".to_owned())));
}

#[test]
fn a_topic_that_is_consumed_again_sends_no_old_mail() {
    let mut scene = Scene::new();
    let parts = Parts {
        id: id(0),
        partition: partition(),
        timestamp_ms: BEGAN_MS - 8 * 24 * 3_600_000,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    scene.fetch_parts(parts);
    assert!(scene.started().is_empty());
    let (_, letter) = scene.buried().pop().unwrap();
    assert_eq!(value(&letter, "dlt-reason").as_deref(), Some("too_old"));
    assert_eq!(value(&letter, "dlt-attempts").as_deref(), Some("0"));
}

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
    scene.input(Input::CommitEnded(first, true));
    let (second, positions) = scene.commits().pop().unwrap();
    assert_eq!((positions[0].offset, &positions[0].metadata[..]), (2, "ke1:2:"));
    scene.input(Input::CommitEnded(second, true));
    scene.accept(all[2]);
    assert!(scene.commits().is_empty(), "too early");
    scene.pass(Duration::from_millis(50));
    assert_eq!(scene.commits().len(), 1);
    assert!(!scene.saw(|notice| *notice == Notice::CommitFailed));
}

#[test]
fn a_commit_that_failed_is_tried_again() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    scene.accept(id);
    let (commit, positions) = scene.commits().pop().unwrap();
    scene.input(Input::CommitEnded(commit, false));
    assert!(scene.saw(|notice| *notice == Notice::CommitFailed));
    scene.pass(SECOND);
    assert_eq!(scene.commits().pop().unwrap().1, positions);
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
    scene.input(Input::CommitEnded(early, true));
    scene.pass(SECOND);
    assert!(scene.unassigned().is_empty(), "the dead letter is awaited");
    scene.input(Input::DeadLetterStored(all[1], true));
    let (last, positions) = scene.commits().pop().unwrap();
    assert_eq!(positions[0].offset, 2);
    assert!(scene.unassigned().is_empty(), "the acknowledgement is awaited");
    scene.input(Input::CommitEnded(last, true));
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
    scene.input(Input::CommitEnded(commit, true));
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
    all[..5].iter().for_each(|id| scene.accept(*id));
    assert!(scene.paused().is_empty());
    scene.accept(all[5]);
    assert_eq!(scene.paused(), [false]);
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
        started.into_iter().for_each(|offset| scene.end(id(offset), AttemptResult::Handled));
    }
    assert!(finished > waiting.len(), "those that wait start again, and then those that were stopped");
    assert_eq!(scene.engine.gauges().oldest_unfinished_ms, None);
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
fn a_record_is_decoded_or_poison() {
    let decode = |value: Option<&str>| {
        Record::new(Parts {
            id: id(0),
            partition: partition(),
            timestamp_ms: 0,
            key: None,
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: Vec::new(),
        })
        .decode()
    };
    let event =
        |recipient: &str, username: &str| format!(r#"{{"recipient": "{recipient}", "username": "{username}"}}"#);
    assert!(decode(Some(&event("anna@example.org", "Anna \u{fc}"))).is_ok());
    assert_eq!(decode(None).err(), Some(Poison::NoValue));
    for value in ["", "{", "[]", "{}", r#"{"recipient": 1}"#, "\u{0}"] {
        assert_eq!(decode(Some(value)).err(), Some(Poison::NotAnEvent), "{value}");
    }
    for recipient in
        ["", "anna", "@example.org", "anna@", "a@b@c", "a@b, c@d", "A <a@b>", "a b@c", "a@b\\r\\nRCPT", "a@b\\u0000"]
    {
        assert_eq!(decode(Some(&event(recipient, ""))).err(), Some(Poison::Recipient), "{recipient}");
    }
    assert_eq!(decode(Some(&event("a@b.c", "Anna\\r\\nBcc: x"))).err(), Some(Poison::ControlCharacters));
}
