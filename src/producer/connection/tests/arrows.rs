//! Every arrow of the state machine, and the drawing of them.

use super::super::machine::{LONGEST_STALL, PROBES_OF_ATTEMPT, PROBES_UNTIL_LOST};
use super::super::state::{GivesUp, Input};
use super::life::{no_thread, Life};
use crate::kafka::librdkafka::Code;
use std::time::Duration;

/// A change of state: from, why, to, and what happens in a life that is in the first state.
pub(super) struct Arrow {
    pub(super) from: &'static str,
    why: &'static str,
    pub(super) to: &'static str,
    gives_up: GivesUp,
    happens: fn(&mut Life),
}

const fn arrow(from: &'static str, why: &'static str, to: &'static str, happens: fn(&mut Life)) -> Arrow {
    Arrow { from, why, to, gives_up: GivesUp::AfterAttempts, happens }
}

const fn arrow_if_not_required(
    from: &'static str,
    why: &'static str,
    to: &'static str,
    happens: fn(&mut Life),
) -> Arrow {
    Arrow { from, why, to, gives_up: GivesUp::Never, happens }
}

/// All of them, but the one from each state to `stopped`.
pub(super) const ARROWS: &[Arrow] = &[
    arrow("starting", "client built", "connecting", |life| life.input(Input::ClientBuilt)),
    arrow("starting", "client not built", "failed", |life| life.input(Input::ClientNotBuilt(no_thread()))),
    arrow("connecting", "a broker answers", "connected", Life::answer),
    arrow("connecting", "no attempt is left, or every address refuses for good", "failed", |life| {
        life.broker_error(Code::Authentication);
    }),
    arrow_if_not_required("connecting", "an attempt fails, with required=False", "unreachable", |life| {
        (0..PROBES_OF_ATTEMPT).for_each(|_| life.silence());
    }),
    arrow("connecting", "somebody answered, and the brokers that it named do not", "unreachable", |life| {
        life.all_refuse();
        (0..PROBES_OF_ATTEMPT).for_each(|_| life.silence());
    }),
    arrow("connecting", "fatal error", "failed", Life::die),
    arrow_if_not_required("connecting", "fatal error, with required=False", "rebuilding", Life::die),
    arrow("connected", "five silent probes", "unreachable", |life| {
        (0..PROBES_UNTIL_LOST).for_each(|_| life.silence());
    }),
    arrow("connected", "no acknowledgement for 6 s", "stalled", Life::stall),
    arrow("connected", "fatal error", "rebuilding", Life::die),
    arrow("unreachable", "a broker answers", "connected", Life::answer),
    arrow("unreachable", "a broker answers, no acknowledgement for 6 s", "stalled", |life| {
        life.publish();
        life.after(LONGEST_STALL + Duration::from_secs(1));
        life.answer();
    }),
    arrow("unreachable", "fatal error", "rebuilding", Life::die),
    arrow(
        "stalled",
        "an event is acknowledged, or none is outstanding and a broker answers at its own address",
        "connected",
        |life| {
            life.acknowledge();
            life.answer();
        },
    ),
    arrow("stalled", "silent probe", "unreachable", Life::silence),
    arrow("stalled", "fatal error", "rebuilding", Life::die),
    arrow("rebuilding", "client built, at first at once, then after a back-off", "recovering", Life::wait),
    arrow("recovering", "an event is acknowledged, or none is outstanding for 3 s", "connected", |life| {
        life.after(Duration::from_millis(1));
        life.acknowledge();
        life.answer();
    }),
    arrow("recovering", "no acknowledgement for 6 s", "stalled", Life::stall),
    arrow("recovering", "fatal error", "rebuilding", Life::die),
];

#[test]
fn each_arrow_leads_where_the_drawing_says() {
    for arrow in ARROWS {
        let mut life = Life::in_state(arrow.from, arrow.gives_up);
        life.passed.clear();
        (arrow.happens)(&mut life);
        assert_eq!(life.passed.first(), Some(&(arrow.from, arrow.to)), "{}", arrow.why);
    }
}

/// The drawing in ARCHITECTURE.md.
fn drawing() -> String {
    let mut lines = vec!["stateDiagram-v2".to_owned(), "    [*] --> starting".to_owned()];
    lines.extend(ARROWS.iter().map(|Arrow { from, why, to, .. }| format!("    {from} --> {to}: {why}")));
    lines.join("\n")
}

/// The table of states in ARCHITECTURE.md: the sentences of the enum.
fn table() -> String {
    let source = include_str!("../state.rs");
    let (_, source) = source.split_once("enum State {\n").unwrap();
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
    rows.join("\n")
}

#[test]
fn architecture_md_shows_these_states_and_arrows() {
    let page = include_str!("../../../../ARCHITECTURE.md");
    assert!(page.contains(&drawing()), "the drawing in ARCHITECTURE.md should be:\n{}", drawing());
    assert!(page.contains(&table()), "the table of states in ARCHITECTURE.md should be:\n{}", table());
}
