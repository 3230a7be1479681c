//! One mail on a new connection: what is sent, and what follows from each reply.

use super::server::{deliver, Peer, Server, ENVELOPE, MESSAGE, RECEIVED};
use crate::smtp::{Cause, Envelope, Failure, Reply, Stage};
use serde_json::{json, Value};
use std::ops::AsyncFnOnce;
use tokio::join;

/// Delivers a mail to a server that offers PIPELINING, and does `script` after EHLO.
async fn outcome(script: impl AsyncFnOnce(&mut Peer)) -> Result<Reply, Failure> {
    outcome_with(json!({}), script).await
}

async fn outcome_with(changes: Value, script: impl AsyncFnOnce(&mut Peer)) -> Result<Reply, Failure> {
    let server = Server::start().await;
    let pool = server.pool(&changes);
    let (outcome, ()) = join!(deliver(&pool), async {
        let mut peer = server.greet(&["PIPELINING"]).await;
        script(&mut peer).await;
    });
    outcome
}

/// Delivers a mail to a server that has these replies to MAIL, RCPT and DATA.
async fn outcome_of_replies(replies: &str) -> Result<Reply, Failure> {
    outcome(async |peer| {
        peer.hear_transaction().await;
        peer.say(replies).await;
        assert_eq!(peer.next().await, None, "{replies}");
    })
    .await
}

/// Delivers a mail to a server that takes it and does `script` instead of saying 250.
async fn outcome_after_dot(changes: Value, script: impl AsyncFnOnce(&mut Peer)) -> Result<Reply, Failure> {
    outcome_with(changes, async |peer| {
        peer.hear_transaction().await;
        peer.say("250 ok|250 ok|354 go").await;
        assert_eq!(peer.message().await.as_deref(), Some(RECEIVED));
        script(peer).await;
    })
    .await
}

fn refused(stage: Stage, code: u16, enhanced: Option<(u8, u16, u16)>) -> Result<Reply, Failure> {
    Err(Failure::new(stage, Cause::Refused(Reply::new(code, enhanced))))
}

fn failed(stage: Stage, cause: Cause) -> Result<Reply, Failure> {
    Err(Failure::new(stage, cause))
}

fn unknown(cause: Cause) -> Result<Reply, Failure> {
    Err(Failure::after_terminator(cause))
}

#[tokio::test]
async fn a_mail_takes_two_writes_with_pipelining() {
    let outcome = outcome(async |peer| {
        peer.take_mail().await;
        assert_eq!(peer.rest(), b"");
    });
    assert_eq!(outcome.await, Ok(Reply::new(250, Some((2, 0, 0)))));
}

#[tokio::test]
async fn without_pipelining_each_command_waits_for_the_reply_to_the_one_before() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let (outcome, ()) = join!(deliver(&pool), async {
        let mut peer = server.greet(&[]).await;
        for (command, reply) in [
            ("MAIL FROM:<noreply@shop.example>", "250 ok"),
            ("RCPT TO:<ann@mail.example>", "251 will forward"),
            ("DATA", "354 go"),
        ] {
            peer.hear(command).await;
            assert_eq!(peer.rest(), b"");
            peer.say(reply).await;
        }
        assert_eq!(peer.message().await.as_deref(), Some(RECEIVED));
        peer.say("250 taken").await;
    });
    assert_eq!(outcome, Ok(Reply::new(250, None)));
}

#[tokio::test]
async fn without_pipelining_nothing_follows_a_refusal() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let (outcome, ()) = join!(deliver(&pool), async {
        let mut peer = server.greet(&[]).await;
        peer.hear("MAIL FROM:<noreply@shop.example>").await;
        peer.say("250 ok").await;
        peer.hear("RCPT TO:<ann@mail.example>").await;
        peer.say("550 5.1.1 unknown").await;
        assert_eq!(peer.rest(), b"");
    });
    assert_eq!(outcome, refused(Stage::Rcpt, 550, Some((5, 1, 1))));
}

#[tokio::test]
async fn what_a_mail_needs_is_asked_for_if_it_is_offered() {
    let utf8 = Envelope { sender: "noreply@bücher.example", recipient: "grüße@mail.example" };
    let eight_bit = "Subject: ü\r\n\r\nä".as_bytes();
    for (extensions, envelope, message, mail, rcpt) in [
        (
            &["SIZE 1000", "8BITMIME", "SMTPUTF8", "PIPELINING"][..],
            utf8,
            eight_bit,
            "MAIL FROM:<noreply@xn--bcher-kva.example> SIZE=19 BODY=8BITMIME SMTPUTF8",
            "RCPT TO:<grüße@mail.example>",
        ),
        (
            &["SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING"],
            ENVELOPE,
            MESSAGE,
            "MAIL FROM:<noreply@shop.example> SIZE=27",
            "RCPT TO:<ann@mail.example>",
        ),
        (&[], ENVELOPE, eight_bit, "MAIL FROM:<noreply@shop.example>", "RCPT TO:<ann@mail.example>"),
    ] {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let (outcome, ()) = join!(pool.deliver(envelope, message), async {
            let mut peer = server.greet(extensions).await;
            peer.hear(mail).await;
            peer.say("250 ok").await;
            peer.hear(rcpt).await;
            peer.say("252 perhaps").await;
            peer.hear("DATA").await;
            peer.say("354 go").await;
            peer.message().await.unwrap();
            peer.say("250 ok").await;
        });
        assert_eq!(outcome, Ok(Reply::new(250, None)));
    }
}

#[tokio::test]
async fn what_the_server_cannot_take_is_not_sent_and_costs_no_session() {
    let server = Server::start().await;
    let pool = server.pool(&json!({"max_connections": 1}));
    let large = vec![b'x'; 99];
    let sender = Envelope { sender: "ü@shop.example", ..ENVELOPE };
    let recipient = Envelope { recipient: "ü@mail.example", ..ENVELOPE };
    let ((), ()) = join!(
        async {
            assert_eq!(pool.deliver(ENVELOPE, &large).await, failed(Stage::Mail, Cause::TooLarge { limit: 100 }));
            assert_eq!(pool.deliver(sender, MESSAGE).await, failed(Stage::Mail, Cause::Utf8NotOffered));
            assert_eq!(pool.deliver(recipient, MESSAGE).await, failed(Stage::Rcpt, Cause::Utf8NotOffered));
            assert_eq!(pool.deliver(ENVELOPE, &large[..98]).await, Ok(Reply::new(250, None)));
        },
        async {
            let mut peer = server.greet(&["SIZE 100", "PIPELINING"]).await;
            peer.hear("MAIL FROM:<noreply@shop.example> SIZE=100|RCPT TO:<ann@mail.example>|DATA").await;
            peer.say("250 ok|250 ok|354 go").await;
            peer.message().await.unwrap();
            peer.say("250 ok").await;
        }
    );
}

#[tokio::test]
async fn a_command_in_an_address_never_reaches_the_server() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let evil = "a@b.example>\r\nRCPT TO:<c@d.example";
    let recipient = pool.deliver(Envelope { recipient: evil, ..ENVELOPE }, MESSAGE).await;
    assert_eq!(recipient, failed(Stage::Rcpt, Cause::InvalidAddress));
    let sender = pool.deliver(Envelope { sender: evil, ..ENVELOPE }, MESSAGE).await;
    assert_eq!(sender, failed(Stage::Mail, Cause::InvalidAddress));
    assert_eq!(pool.connections(), 0);
}

#[tokio::test]
async fn the_first_refusal_counts() {
    for (replies, expected) in [
        ("530 5.7.0 sign in|503 no|503 no", refused(Stage::Mail, 530, Some((5, 7, 0)))),
        ("552 too large|503 no|503 no", refused(Stage::Mail, 552, None)),
        ("451 later|250 ok|503 no", refused(Stage::Mail, 451, None)),
        ("250 ok|450 4.2.1 later|503 no", refused(Stage::Rcpt, 450, Some((4, 2, 1)))),
        ("250 ok|552 full|554 no recipient", refused(Stage::Rcpt, 552, None)),
        ("250 ok|250-well|250 ok|554-5.7.1 no|554 5.7.1 never", refused(Stage::Data, 554, Some((5, 7, 1)))),
    ] {
        let outcome = outcome(async |peer| {
            peer.hear_transaction().await;
            peer.say(replies).await;
        });
        assert_eq!(outcome.await, expected, "{replies}");
    }
}

#[tokio::test]
async fn a_message_that_is_asked_for_after_a_refusal_is_a_lone_dot() {
    for (replies, stage) in [("250 ok|550 no|354 go", Stage::Rcpt), ("550 no|250 ok|354 go", Stage::Mail)] {
        for ending in ["250 ok", "554 no recipients", "503 no"] {
            let server = Server::start().await;
            let pool = server.pool(&json!({}));
            let ((), ()) = join!(
                async {
                    assert_eq!(deliver(&pool).await, refused(stage, 550, None));
                    assert!(deliver(&pool).await.is_ok());
                },
                async {
                    let mut peer = server.greet(&["PIPELINING"]).await;
                    peer.hear_transaction().await;
                    peer.say(replies).await;
                    peer.hear(".").await;
                    peer.say(ending).await;
                    peer.hear("RSET").await;
                    peer.say("250 ok").await;
                    peer.take_mail().await;
                }
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_is_kept_when_the_lone_dot_fails() {
    let outcome = outcome(async |peer| {
        peer.hear_transaction().await;
        peer.say("250 ok|550 no|354 go").await;
        peer.hear(".").await;
        peer.say("421 bye").await;
        peer.hear_end().await;
    });
    assert_eq!(outcome.await, refused(Stage::Rcpt, 550, None));
}

#[tokio::test]
async fn after_421_and_after_a_reply_out_of_place_the_connection_is_closed() {
    let out_of_place = |stage, code| failed(stage, Cause::OutOfPlace(Reply::new(code, None)));
    for (replies, expected) in [
        ("421 bye", refused(Stage::Mail, 421, None)),
        ("250 ok|421 bye", refused(Stage::Rcpt, 421, None)),
        ("250 ok|250 ok|421 bye", refused(Stage::Data, 421, None)),
        ("354 go|250 ok|354 go", out_of_place(Stage::Mail, 354)),
        ("250 ok|334 go|354 go", out_of_place(Stage::Rcpt, 334)),
        ("250 ok|250 ok|250 ok", out_of_place(Stage::Data, 250)),
        ("250 ok|250 ok|355 go", out_of_place(Stage::Data, 355)),
        // A reply too many would be taken for the one to the dot.
        ("250 ok|250 ok|354 go|250 ok", out_of_place(Stage::Data, 250)),
        ("550 no|250 ok|250 ok", refused(Stage::Mail, 550, None)),
        ("250 ok|rubbish|354 go", failed(Stage::Rcpt, Cause::Malformed)),
    ] {
        assert_eq!(outcome_of_replies(replies).await, expected, "{replies}");
    }
}

#[tokio::test]
async fn silence_and_a_closed_connection_before_the_message() {
    for (replies, stage) in [("", Stage::Mail), ("250 ok", Stage::Rcpt), ("250 ok|250 ok", Stage::Data)] {
        let silent = outcome_with(json!({"reply_timeout_ms": 500}), async |peer| {
            peer.hear_transaction().await;
            if !replies.is_empty() {
                peer.say(replies).await;
            }
            peer.send(b"2").await;
            peer.hear_end().await;
        });
        assert_eq!(silent.await, failed(stage, Cause::Timeout));
        let closed = outcome(async |peer| {
            peer.hear_transaction().await;
            if !replies.is_empty() {
                peer.say(replies).await;
            }
            peer.close();
        });
        assert_eq!(closed.await, failed(stage, Cause::Closed));
    }
}

#[tokio::test]
async fn after_the_terminator_only_a_refusal_is_certain() {
    let refusals = [("452 later", 452, None), ("554 5.7.1 spam", 554, Some((5, 7, 1))), ("421 bye", 421, None)];
    for (reply, code, enhanced) in refusals {
        let outcome = outcome_after_dot(json!({}), async |peer| peer.say(reply).await).await;
        assert_eq!(outcome, unknown(Cause::Refused(Reply::new(code, enhanced))));
    }
    let silent = outcome_after_dot(json!({"dot_timeout_ms": 200}), Peer::hear_end).await;
    assert_eq!(silent, unknown(Cause::Timeout));
    let closed = outcome_after_dot(json!({}), async |peer| peer.close()).await;
    assert_eq!(closed, unknown(Cause::Closed));
    let cut = outcome_after_dot(json!({}), async |peer| {
        peer.send(b"250 tak").await;
        peer.close();
    });
    assert_eq!(cut.await, unknown(Cause::Closed));
    let malformed = outcome_after_dot(json!({}), async |peer| peer.say("taken").await).await;
    assert_eq!(malformed, unknown(Cause::Malformed));
    let out_of_place = outcome_after_dot(json!({}), async |peer| peer.say("354 go").await).await;
    assert_eq!(out_of_place, unknown(Cause::OutOfPlace(Reply::new(354, None))));
}

#[tokio::test]
async fn a_server_that_stops_reading_the_message_does_not_know_the_terminator() {
    let large = vec![b'x'; 32 * 1024 * 1024];
    for (changes, leaves, cause) in
        [(json!({}), true, Cause::Closed), (json!({"dot_timeout_ms": 200}), false, Cause::Timeout)]
    {
        let server = Server::start().await;
        let pool = server.pool(&changes);
        let (outcome, _peer) = join!(pool.deliver(ENVELOPE, &large), async {
            let mut peer = server.greet(&["PIPELINING"]).await;
            peer.hear_transaction().await;
            peer.say("250 ok|250 ok|354 go").await;
            if leaves {
                peer.close();
            }
            peer
        });
        assert_eq!(outcome, failed(Stage::Data, cause));
    }
}

#[tokio::test]
async fn replies_are_counted() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let (outcome, ()) = join!(deliver(&pool), async {
        let mut peer = server.greet(&["PIPELINING"]).await;
        peer.hear_transaction().await;
        peer.say("250 ok|550 no|503 no").await;
    });
    assert!(outcome.is_err());
    let expected =
        [(Stage::Greeting, 220), (Stage::Ehlo, 250), (Stage::Mail, 250), (Stage::Rcpt, 550), (Stage::Data, 503)];
    assert_eq!(pool.replies(), expected.map(|(stage, code)| (stage, code, 1)));
}
