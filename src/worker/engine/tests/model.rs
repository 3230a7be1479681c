//! Random lives of a worker: whatever happens in whichever order, the properties hold.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{target, World, PARTITIONS};
use crate::smtp::{Reply, Stage};
use crate::worker::engine::attempt::{Failure, SmtpCause, Target};

#[derive(Clone, Debug)]
enum Step {
    Produce { partition: usize, gap: i64, key: u8, event_id: u8, expires_s: Option<i64> },
    Assign,
    ReadBack(usize, bool),
    Fetch(usize, usize),
    Accept(usize),
    Fail(usize, u8),
    Outage(usize),
    Letter(usize, bool),
    Commit(bool),
    Wake,
    Pass(u64),
    Revoke(u8),
    Lose(u8),
    Crash,
    KillClient,
    Restart(bool),
    Stale(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let produce = (0..PARTITIONS, 0_i64..3, 0_u8..6, any::<u8>(), prop::option::weighted(0.1, 0_i64..600)).prop_map(
        |(partition, gap, key, event_id, expires_s)| Step::Produce { partition, gap, key, event_id, expires_s },
    );
    prop_oneof![
        8 => produce,
        2 => Just(Step::Assign),
        3 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, ok)| Step::ReadBack(which, ok)),
        6 => (0..PARTITIONS, 1_usize..8).prop_map(|(partition, count)| Step::Fetch(partition, count)),
        8 => any::<usize>().prop_map(Step::Accept),
        5 => (any::<usize>(), any::<u8>()).prop_map(|(which, kind)| Step::Fail(which, kind)),
        1 => (1_usize..30).prop_map(Step::Outage),
        4 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(which, ok)| Step::Letter(which, ok)),
        5 => prop::bool::weighted(0.7).prop_map(Step::Commit),
        6 => Just(Step::Wake),
        4 => (0_u64..3000).prop_map(Step::Pass),
        1 => any::<u8>().prop_map(Step::Revoke),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => Just(Step::Crash),
        1 => Just(Step::KillClient),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => any::<usize>().prop_map(Step::Stale),
    ]
}

/// A failure that this target can have.
fn failure(of: Target, kind: u8) -> Failure {
    let smtp = |stage, cause, is_after_terminator| Failure::Smtp { stage, cause, is_after_terminator };
    let refused = |stage, code| smtp(stage, SmtpCause::Refused(Reply::new(code, None)), false);
    match of {
        Target::Handler(_) => match kind % 6 {
            0 => Failure::HandlerRetry(Some(Duration::from_secs(u64::from(kind)))),
            1 => Failure::HandlerPermanent,
            2 => Failure::HandlerTimeout,
            3 => Failure::Undecodable,
            _ => Failure::HandlerFailed,
        },
        Target::Smtp => match kind % 12 {
            0 => Failure::Undecodable,
            1 => Failure::NotRendered,
            2 => refused(Stage::Auth, 535),
            3 => refused(Stage::Mail, 451),
            4 | 5 => refused(Stage::Rcpt, 550),
            6 | 7 => refused(Stage::Rcpt, 450),
            8 => smtp(Stage::Dot, SmtpCause::Closed, true),
            9 => smtp(Stage::Data, SmtpCause::Timeout, false),
            _ => smtp(Stage::Connect, SmtpCause::Closed, false),
        },
    }
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Produce { partition, gap, key, event_id, expires_s } => {
            world.produce(*partition, *gap, *key, *event_id, *expires_s);
        }
        Step::Assign => world.assign(),
        Step::ReadBack(which, ok) => world.read_back(*which, *ok),
        Step::Fetch(partition, count) => world.fetch(*partition, *count),
        Step::Accept(which) => world.end_attempt(*which, None),
        Step::Fail(which, kind) => fail(world, *which, *kind),
        Step::Outage(failures) => {
            for _ in 0..*failures {
                fail(world, 0, 11);
                world.wake();
            }
        }
        Step::Letter(which, ok) => world.end_letter(*which, *ok),
        Step::Commit(ok) => world.end_commit(*ok),
        Step::Wake => world.wake(),
        Step::Pass(ms) => world.pass(Duration::from_millis(*ms)),
        Step::Revoke(mask) => world.revoke(*mask),
        Step::Lose(mask) => world.lose(*mask),
        Step::Crash => world.crash(),
        Step::KillClient => world.kill_client(),
        Step::Restart(is_patient) => world.restart(*is_patient),
        Step::Stale(which) => world.end_stale(*which),
    }
}

fn fail(world: &mut World, which: usize, kind: u8) {
    let works: Vec<Target> = world.at_work.values().map(target).collect();
    if let Some(of) = works.get(which % works.len().max(1)) {
        world.end_attempt(which % works.len(), Some(failure(*of, kind)));
    }
}

proptest! {
    #[test]
    fn any_life_keeps_the_promises_and_drains_in_the_end(
        seed in any::<u32>(),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut world = World::new(u64::from(seed));
        world.assign();
        for step in &steps {
            take(&mut world, step);
        }
        world.recover();
    }
}
