//! Random lives: whatever happens in whichever order.

use std::time::Duration;

use proptest::prelude::*;

use super::super::machine::Connection;
use super::super::state::{Action, GivesUp, Input};
use super::arrows::ARROWS;
use super::life::{closed, Life};
use crate::handover::Ticket;
use crate::kafka::librdkafka::Code;

/// What may happen to a connection in any order.
#[derive(Clone, Debug)]
enum Step {
    Answer,
    Silence,
    BrokerError(bool),
    Die,
    Builds(bool),
    Publish,
    Acknowledge,
    AskStart,
    AskHealth,
    Wait,
    After(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Answer),
        Just(Step::Silence),
        any::<bool>().prop_map(Step::BrokerError),
        Just(Step::Die),
        any::<bool>().prop_map(Step::Builds),
        Just(Step::Publish),
        Just(Step::Acknowledge),
        Just(Step::AskStart),
        Just(Step::AskHealth),
        Just(Step::Wait),
        (0_u64..10_000).prop_map(Step::After),
    ];
    prop::collection::vec(step, 0..80)
}

fn live(life: &mut Life, steps: &[Step]) {
    for step in steps {
        take(life, step);
    }
}

fn take(life: &mut Life, step: &Step) {
    // Only a probe that was sent can be answered.
    let is_probing = life.connection.probing.deadline().is_none();
    match step {
        Step::Answer if is_probing => life.answer(),
        Step::Silence if is_probing => life.silence(),
        Step::BrokerError(lasts) => {
            life.broker_error(if *lasts { Code::Authentication } else { Code::BrokerTransportFailure });
        }
        Step::Die => life.die(),
        Step::Builds(fail) => life.builds_fail = *fail,
        Step::Publish => life.publish(),
        Step::Acknowledge if life.outstanding > 0 => life.acknowledge(),
        Step::AskStart => drop(life.ask_start()),
        Step::AskHealth => drop(life.ask_health()),
        Step::Wait if life.connection.next_deadline().is_some() => life.wait(),
        Step::Answer | Step::Silence | Step::Acknowledge | Step::Wait => {}
        Step::After(ms) => life.after(Duration::from_millis(*ms)),
    }
}

fn gives_up() -> impl Strategy<Value = GivesUp> {
    prop_oneof![Just(GivesUp::AfterAttempts), Just(GivesUp::WhenRefused), Just(GivesUp::Never)]
}

proptest! {
    #[test]
    fn any_life_takes_only_the_arrows_of_the_drawing(gives_up in gives_up(), steps in steps()) {
        let mut life = Life::new(gives_up);
        life.done.push(Connection::begin());
        life.input(Input::ClientBuilt);
        live(&mut life, &steps);
        for (from, to) in &life.passed {
            prop_assert!(ARROWS.iter().any(|arrow| (arrow.from, arrow.to) == (*from, *to)), "{} -> {}", from, to);
        }
    }

    #[test]
    fn any_life_answers_each_question_once_and_health_in_time(gives_up in gives_up(), steps in steps()) {
        let mut life = Life::new(gives_up);
        life.input(Input::ClientBuilt);
        live(&mut life, &steps);
        life.after(Duration::from_secs(2));
        life.input(Input::TimePassed);
        prop_assert_eq!(life.connection.questions.deadline(), None);
        life.input(Input::StopAsked(closed()));
        for ticket in 1..=life.tickets {
            let answers = life.start_result(Ticket::new(2, ticket)).len() + life.health(Ticket::new(1, ticket)).len();
            prop_assert_eq!(answers, 1);
        }
    }

    #[test]
    fn no_life_makes_a_storm(gives_up in gives_up(), steps in steps()) {
        let mut life = Life::new(gives_up);
        life.done.push(Connection::begin());
        life.input(Input::ClientBuilt);
        live(&mut life, &steps);
        let seconds = usize::try_from(life.now.duration_since(life.began).as_secs()).unwrap();
        let deaths = steps.iter().filter(|step| matches!(step, Step::Die)).count();
        let recoveries = life.passed.iter().filter(|(_, to)| *to == "connected").count();
        let builds = life.count(|action| matches!(action, Action::BuildClient));
        // The first at once and the second of each streak at once; all others after a second or more.
        prop_assert!(builds <= 3 + recoveries + seconds, "{} builds in {} s", builds, seconds);
        prop_assert!(deaths > 0 || builds <= 1);
        let mut is_connected = false;
        let mut probes = 0;
        for action in &life.done {
            match action {
                Action::SetConnected(connected) => is_connected = *connected,
                Action::Probe(_) => probes += 1,
                _ => {}
            }
        }
        prop_assert_eq!(is_connected, life.state() == "connected");
        let settled = steps.iter().filter(|step| matches!(step, Step::Answer | Step::Silence | Step::Die)).count();
        prop_assert!(probes <= settled + 1, "one probe at a time");
    }
}
