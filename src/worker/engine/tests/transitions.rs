//! Each transition of a record's life, and the drawing of them in ARCHITECTURE.md.

use std::time::Duration;

use super::scene::{failed, greylisted, lost_reply, no_server, refused, Scene};
use crate::smtp::Stage;
use crate::worker::engine::action::CommitId;
use crate::worker::engine::attempt::{AttemptResult, Failure, Message, SmtpCause};
use crate::worker::engine::identity::{Generation, RecordId};
use crate::worker::engine::input::Input;
use crate::worker::engine::life::State;
use crate::worker::engine::notice::Notice;

/// A change of state: from, why, to, and what happens to a record that is in the first state.
struct Arrow {
    from: &'static str,
    why: &'static str,
    to: &'static str,
    happens: fn(&mut Scene, RecordId),
}

const fn arrow(from: &'static str, why: &'static str, to: &'static str, happens: fn(&mut Scene, RecordId)) -> Arrow {
    Arrow { from, why, to, happens }
}

/// All of them. `abandoned` can be reached from each state before `finished`.
const ARROWS: &[Arrow] = &[
    arrow("queued", "it is the first in its lane", "ready", |scene, id| {
        fill_connections(scene);
        scene.end(RecordId { offset: id.offset - 1, ..id }, refused(Stage::Rcpt, 550));
    }),
    arrow("ready", "it has a permit", "working", |scene, _| free_connection(scene)),
    arrow("ready", "its event id was already delivered", "finished", |scene, _| {
        scene.accept(super::scene::id(0));
    }),
    arrow("ready", "it is too old", "burying", |scene, _| scene.leap(Duration::from_hours(7 * 24))),
    arrow("working", "delivered, or no mail is wanted", "finished", Scene::accept),
    arrow("working", "permanent", "burying", |scene, id| scene.end(id, refused(Stage::Rcpt, 550))),
    arrow("working", "transient or unknown", "waiting", |scene, id| scene.end(id, greylisted())),
    arrow("working", "server-wide, or its handler composed a mail", "ready", |scene, id| {
        scene.end(id, failed(Stage::Auth, SmtpCause::NoMechanism));
    }),
    arrow("waiting", "the time has come", "ready", |scene, _| {
        break_server(scene);
        scene.leap(Duration::from_secs(1));
    }),
    arrow("waiting", "failing for retry_for_s, or too old", "burying", |scene, _| {
        scene.leap(Duration::from_hours(1));
    }),
    arrow("burying", "Kafka acknowledged the dead letter", "finished", |scene, id| {
        scene.input(Input::DeadLetterEnded(id, Ok(())));
    }),
    arrow("finished", "Kafka acknowledged a commit that covers it", "committed", |scene, _| {
        let (id, _) = scene.commits().pop().unwrap();
        scene.input(Input::CommitEnded(id, Ok(())));
    }),
];

/// Other records take all connections, and one more waits for the next.
fn fill_connections(scene: &mut Scene) {
    scene.fetch_many(10);
}

fn free_connection(scene: &mut Scene) {
    let last = scene.started().pop().unwrap();
    scene.accept(super::scene::id(last));
}

fn break_server(scene: &mut Scene) {
    let other = scene.fetch("broken");
    scene.end(other, failed(Stage::Auth, SmtpCause::NoMechanism));
}

/// A record in this state, in a world of its own.
fn in_state(name: &str) -> (Scene, RecordId) {
    let mut scene = Scene::new();
    let id = match name {
        "queued" => {
            scene.fetch("key");
            scene.fetch("key")
        }
        "ready" => {
            scene.fetch_with(Some("twin"), &[("ce_id", "same")]);
            scene.fetch_many(9);
            scene.fetch_with(Some("other"), &[("ce_id", "same")])
        }
        _ => scene.fetch("key"),
    };
    match name {
        "waiting" => scene.end(id, greylisted()),
        "burying" => scene.end(id, refused(Stage::Dot, 554)),
        "finished" => scene.accept(id),
        _ => {}
    }
    assert_eq!(state(&mut scene, id), name);
    (scene, id)
}

fn state(scene: &mut Scene, id: RecordId) -> &'static str {
    let is_committed = scene.engine.is_committed(Generation(1));
    match scene.engine.state(id) {
        Some(State::Queued) => "queued",
        Some(State::Ready(_)) => "ready",
        Some(State::Working { .. }) => "working",
        Some(State::Waiting { .. }) => "waiting",
        Some(State::Burying { .. }) => "burying",
        Some(State::Finished) | None if is_committed == Some(true) => "committed",
        Some(State::Finished) | None if is_committed == Some(false) => "finished",
        Some(State::Finished) | None => "abandoned",
    }
}

#[test]
fn each_arrow_leads_where_the_drawing_says() {
    for arrow in ARROWS {
        let (mut scene, id) = in_state(arrow.from);
        (arrow.happens)(&mut scene, id);
        assert_eq!(state(&mut scene, id), arrow.to, "{} -> {}: {}", arrow.from, arrow.to, arrow.why);
    }
}

#[test]
fn a_record_is_abandoned_when_its_generation_ends() {
    for from in ["queued", "ready", "working", "waiting", "burying"] {
        let (mut scene, id) = in_state(from);
        scene.input(Input::Lost(vec![Generation(1)]));
        assert_eq!(state(&mut scene, id), "abandoned", "{from}");
        assert_eq!(scene.unassigned().len(), 1);
        assert!(scene.commits().iter().all(|(id, _)| *id == CommitId(1)), "nothing is committed");
    }
}

#[test]
fn the_other_ways_along_the_same_arrows() {
    let ends: [(AttemptResult, &str); 8] = [
        (AttemptResult::Handled, "finished"),
        (AttemptResult::Dropped, "finished"),
        (lost_reply(), "waiting"),
        (AttemptResult::Failed(Failure::HandlerFailed), "waiting"),
        (AttemptResult::Failed(Failure::HandlerPermanent), "burying"),
        (AttemptResult::Failed(Failure::Undecodable), "burying"),
        (refused(Stage::Rcpt, 552), "waiting"),
        (refused(Stage::Mail, 552), "burying"),
    ];
    for (result, to) in ends {
        let (mut scene, id) = in_state("working");
        scene.end(id, result);
        assert_eq!(state(&mut scene, id), to);
    }
}

#[test]
fn a_composed_mail_needs_a_permit_of_its_own() {
    let mut scene = Scene::new();
    fill_connections(&mut scene);
    scene.started();
    let id = scene.fetch_with(Some("key"), &[("ce_type", "invoice")]);
    assert_eq!(scene.started(), [id.offset], "a handler needs no connection");
    scene.end(id, AttemptResult::Composed(Message((*b"mail").into())));
    assert_eq!(state(&mut scene, id), "ready");
    scene.accept(super::scene::id(0));
    assert_eq!(scene.started(), [id.offset]);
    scene.end(id, no_server());
    assert!(matches!(scene.works()[..], [(1, crate::worker::engine::attempt::Work::Send(_))]), "the mail was kept");
    scene.end(id, greylisted());
    scene.pass(Duration::from_secs(2));
    assert!(
        matches!(scene.works()[..], [(2, crate::worker::engine::attempt::Work::Handle(0))]),
        "a retry composes it anew"
    );
}

#[test]
fn the_lane_moves_on_when_the_verdict_is_final() {
    let mut scene = Scene::new();
    let [first, second, third] = [(); 3].map(|()| scene.fetch("key"));
    assert_eq!(scene.started(), [first.offset]);
    scene.end(first, greylisted());
    assert!(scene.started().is_empty(), "a waiting record holds its lane");
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.started(), [first.offset]);
    scene.end(first, refused(Stage::Rcpt, 550));
    assert_eq!(scene.started(), [second.offset], "a dead letter is not waited for");
    scene.accept(second);
    assert_eq!(scene.started(), [third.offset]);
}

#[test]
fn records_without_a_key_belong_to_the_lane_of_their_recipient() {
    let mut scene = Scene::new();
    let first = scene.fetch_with(None, &[]);
    let second = scene.fetch_with(None, &[]);
    assert_eq!(scene.started(), [first.offset]);
    scene.accept(first);
    assert_eq!(scene.started(), [second.offset]);
}

#[test]
fn a_record_whose_event_id_was_delivered_is_finished_without_a_mail() {
    let mut scene = Scene::new();
    let first = scene.fetch_with(Some("a"), &[("ce_id", "same")]);
    scene.accept(first);
    scene.fetch_with(Some("b"), &[("ce_id", "same")]);
    assert_eq!(scene.started(), [first.offset]);
    assert!(scene.saw(|notice| matches!(notice, Notice::Duplicate(_))));
}

/// The drawing in ARCHITECTURE.md.
fn drawing() -> String {
    let mut lines = vec!["stateDiagram-v2".to_owned(), "    [*] --> queued: fetched".to_owned()];
    lines.extend(ARROWS.iter().map(|Arrow { from, why, to, .. }| format!("    {from} --> {to}: {why}")));
    lines.join("\n")
}

/// The table of states in ARCHITECTURE.md: the sentences of the enum, and the two states of records that are gone.
fn table() -> String {
    let (_, source) = include_str!("../life.rs").split_once("enum State {\n").unwrap();
    let (source, _) = source.split_once("\n}\n").unwrap();
    let (mut rows, mut sentence) = (Vec::new(), String::new());
    // The variants, and not their fields.
    for line in source.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with([' ', '}']))
    {
        if let Some(text) = line.strip_prefix("/// ") {
            sentence = format!("{sentence} {text}");
        } else {
            let name: String = line.chars().take_while(|c| c.is_alphabetic()).collect();
            rows.push(format!("| {} |{} |", name.to_lowercase(), std::mem::take(&mut sentence)));
        }
    }
    rows.push("| committed | Kafka acknowledged a commit that covers it. |".to_owned());
    rows.push("| abandoned | Its generation ended before it was finished; the next owner gets it again. |".to_owned());
    rows.join("\n")
}

#[test]
fn architecture_md_shows_these_states_and_arrows() {
    let page = include_str!("../../../../ARCHITECTURE.md");
    assert!(page.contains(&drawing()), "the drawing in ARCHITECTURE.md should be:\n{}", drawing());
    assert!(page.contains(&table()), "the table of states in ARCHITECTURE.md should be:\n{}", table());
}
