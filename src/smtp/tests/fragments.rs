//! Replies with any code, in any pieces: each belongs to its command.

use super::server::{Peer, Server, ENVELOPE, MESSAGE};
use crate::smtp::{Cause, Failure, Reply, Stage};
use proptest::prelude::*;
use serde_json::json;
use tokio::join;

/// A reply that says in its enhanced code which one it is.
#[derive(Clone, Debug)]
struct Answer {
    code: u16,
    lines: usize,
    detail: u16,
}

impl Answer {
    fn text(&self) -> String {
        let Self { code, lines, detail } = self;
        let class = code / 100;
        let line = |dash| format!("{code}{dash}{class}.0.{detail} text 250 ok\r\n");
        line('-').repeat(*lines) + &line(' ')
    }

    fn reply(&self) -> Reply {
        let class = self.code / 100;
        Reply::new(self.code, (class != 3).then_some((u8::try_from(class).unwrap(), 0, self.detail)))
    }
}

/// What the server says to MAIL, RCPT, DATA and the dot, and where the bytes are cut.
#[derive(Clone, Debug)]
struct Script {
    answers: Vec<Answer>,
    cuts: Vec<usize>,
    pipelining: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let code = || prop_oneof![3 => Just(250_u16), 1 => prop_oneof![Just(451_u16), Just(550), Just(421), Just(354)]];
    let go = prop_oneof![4 => Just(354_u16), 1 => prop_oneof![Just(250_u16), Just(554), Just(421)]];
    let codes = (code(), code(), go, code(), prop::collection::vec(0..3_usize, 4));
    (codes, prop::collection::vec(1..30_usize, 1..8), any::<bool>()).prop_map(
        |((mail, rcpt, data, dot, lines), cuts, pipelining)| {
            let answers = [mail, rcpt, data, dot].into_iter().zip(lines).zip(1..);
            let answers = answers.map(|((code, lines), detail)| Answer { code, lines, detail }).collect();
            Script { answers, cuts, pipelining }
        },
    )
}

impl Script {
    /// What RFC 5321 and the specification of the worker make of it, and whether the session can be used again.
    fn expected(&self) -> (Result<Reply, Failure>, bool) {
        let mut refusal = None;
        let mut goes_on = false;
        let stages = [(Stage::Mail, 2), (Stage::Rcpt, 2), (Stage::Data, 3)];
        for (answer, (stage, wanted)) in self.answers.iter().zip(stages) {
            let reply = answer.reply();
            goes_on = answer.code / 100 == wanted;
            if goes_on {
                continue;
            }
            let cause = if answer.code < 400 { Cause::OutOfPlace(reply) } else { Cause::Refused(reply) };
            let failure = Failure::new(stage, cause);
            if matches!(answer.code, 451 | 550 | 554) {
                refusal.get_or_insert(failure);
                if !self.pipelining {
                    break;
                }
            } else {
                return (Err(refusal.unwrap_or(failure)), false);
            }
        }
        let dot = &self.answers[3];
        let is_usable = !matches!(dot.code, 421 | 354);
        match refusal {
            Some(refusal) => (Err(refusal), !goes_on || is_usable),
            None => match dot.code {
                250 => (Ok(dot.reply()), true),
                354 => (Err(Failure::after_terminator(Cause::OutOfPlace(dot.reply()))), false),
                _ => (Err(Failure::after_terminator(Cause::Refused(dot.reply()))), is_usable),
            },
        }
    }

    /// Sends the text piece by piece, as long as the client listens.
    async fn say(&self, peer: &mut Peer, text: &str) -> Option<()> {
        let mut rest = text.as_bytes();
        for cut in self.cuts.iter().cycle() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            peer.try_send(piece).await?;
            // The client reads this piece before the next one comes.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        Some(())
    }

    /// Plays the server for one mail, whatever the client makes of it.
    async fn play(&self, peer: &mut Peer) -> Option<()> {
        let [mail, rcpt, data, dot] = &self.answers[..] else { unreachable!() };
        if self.pipelining {
            peer.hear_transaction().await;
            self.say(peer, &[mail, rcpt, data].map(Answer::text).concat()).await?;
        } else {
            for answer in [mail, rcpt, data] {
                peer.next().await?;
                self.say(peer, &answer.text()).await?;
                if answer.code >= 400 {
                    return None;
                }
            }
        }
        if data.code == 354 {
            // The message, or a lone dot.
            while peer.next().await? != "." {}
            self.say(peer, &dot.text()).await?;
        }
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_reply_belongs_to_its_command(script in script()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            let pool = server.pool(&json!({}));
            let (outcome, _) = join!(pool.deliver(ENVELOPE, MESSAGE), async {
                let mut peer = server.greet(if script.pipelining { &["PIPELINING"] } else { &[] }).await;
                script.play(&mut peer).await;
                peer
            });
            let (expected, is_usable) = script.expected();
            prop_assert_eq!(outcome, expected);
            prop_assert_eq!(pool.connections(), usize::from(is_usable));
            Ok(())
        })?;
    }
}
