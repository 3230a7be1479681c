//! When nothing is sent to a target, and what probes it.

use std::time::Duration;

use super::scene::{break_server, failed, greylisted, id, no_server, probe, refused, Scene};
use crate::smtp::Stage;
use crate::worker::engine::attempt::{AttemptResult, Failure, SmtpCause, Target};
use crate::worker::engine::notice::Notice;

const SECOND: Duration = Duration::from_secs(1);

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
    for id in &all[..4] {
        scene.end(*id, greylisted());
    }
    scene.end(all[4], refused(Stage::Rcpt, 550));
    assert!(!scene.engine.gauges().is_breaker_open, "it does not count");
    scene.accept(all[5]);
    scene.end(all[6], greylisted());
    assert!(!scene.engine.gauges().is_breaker_open, "the streak begins anew");
    let mut scene = Scene::new();
    let all = scene.fetch_many(6);
    for id in &all[..4] {
        scene.end(*id, greylisted());
    }
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
        scene.leap(Duration::from_millis(pause * 1000 - 1));
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
        for offset in scene.started() {
            scene.end(id(offset), refused(Stage::Rcpt, 550));
        }
        scene.leap(Duration::from_secs(50));
    }
    assert!(scene.buried().is_empty());
    scene.leap(Duration::from_secs(200));
    assert!(scene.saw(|notice| matches!(notice, Notice::RefusalsHigh { is_on: false, .. })));
    for offset in scene.started() {
        scene.end(id(offset), refused(Stage::Rcpt, 550));
    }
    assert_eq!(scene.reasons(), [(19, "permanent".into())], "burying resumes");
}

#[test]
fn a_delivery_lets_records_be_buried_again() {
    let mut scene = Scene::new();
    let all = scene.fetch_many(22);
    for id in &all[..20] {
        scene.end(*id, refused(Stage::Rcpt, 550));
    }
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
fn a_probe_comes_from_a_lane_that_came_later_if_the_only_other_one_was_the_last() {
    let mut scene = Scene::new();
    let first = scene.fetch("first");
    scene.end(first, refused(Stage::Auth, 535));
    scene.leap(SECOND);
    scene.started();
    scene.end(first, no_server());
    let second = scene.fetch("second");
    scene.leap(Duration::from_secs(2));
    assert_eq!(scene.started(), [second.offset]);
    scene.end(second, no_server());
    scene.leap(Duration::from_secs(4));
    assert_eq!(scene.started(), [first.offset]);
}
