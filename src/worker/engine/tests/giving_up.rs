//! When a record is tried again, when it is given up, and what its dead letter says.

use std::time::Duration;

use super::scene::{
    break_server, greylisted, header, id, limits, lost_reply, no_server, partition, probe, refused, value, Scene,
    BEGAN_MS,
};
use crate::smtp::Stage;
use crate::worker::engine::attempt::{AttemptResult, Failure};
use crate::worker::engine::dead_letter::{replay, DeadLetter};
use crate::worker::engine::input::Input;
use crate::worker::engine::limits::{Limits, OnUnknown};
use crate::worker::engine::notice::Notice;
use crate::worker::engine::record::{Parts, Poison, Record};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_record_that_fails_for_retry_for_is_buried_and_an_open_breaker_does_not_count() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(5);
    for id in &all {
        scene.end(*id, greylisted());
    }
    // Open for nearly a day.
    for _ in 0..24 * 60 {
        scene.leap(Duration::from_mins(1));
        for offset in scene.started() {
            scene.end(id(offset), no_server());
        }
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
    for offset in &rest {
        scene.end(id(*offset), greylisted());
    }
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
        scene.input(Input::DeadLetterEnded(id, Err("REQUEST_TIMED_OUT")));
        scene.leap(Duration::from_millis(pause * 1000 - 1));
        assert!(scene.buried().is_empty(), "not before {pause} s");
        scene.leap(Duration::from_millis(1));
    }
    scene.input(Input::DeadLetterEnded(id, Ok(())));
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
    for offset in scene.started() {
        scene.end(id(offset), no_server());
    }
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

#[test]
fn a_waiting_record_whose_time_is_nearly_over_makes_no_storm_of_ticks_while_the_breaker_is_open() {
    let mut scene = Scene::new();
    let id = scene.fetch("key");
    scene.end(id, greylisted());
    scene.leap(Duration::from_millis(3_599_990));
    scene.end(id, greylisted());
    let other = scene.fetch("other");
    scene.end(other, refused(Stage::Auth, 535));
    let ticks = scene.pass(SECOND);
    assert!(ticks < 10, "{ticks}");
}

#[test]
fn a_record_behind_a_duplicate_is_not_sent_when_it_is_too_old() {
    let mut scene = Scene::new();
    let first = scene.fetch_with(Some("first"), &[("ce_id", "same")]);
    scene.fetch_many(9);
    // No connection is free.
    scene.fetch_with(Some("lane"), &[("ce_id", "same")]);
    let late = scene.fetch_with(Some("lane"), &[("expires-at", &(BEGAN_MS + 1000).to_string())]);
    scene.leap(Duration::from_secs(2));
    assert_eq!(scene.started().len(), 10);
    scene.accept(first);
    assert!(scene.started().is_empty());
    assert_eq!(scene.reasons(), [(late.offset, "too_old".to_owned())]);
}
