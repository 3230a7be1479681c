//! Sessions that carry more than one mail.

use super::server::{deliver, Peer, Server, ENVELOPE, MESSAGE};
use crate::smtp::{Cause, Failure, Pool, Reply, Stage};
use serde_json::{json, Value};
use std::ops::AsyncFnOnce;
use tokio::join;

const PIPELINING: &[&str] = &["PIPELINING"];

/// Delivers a mail, which the server takes on a new connection.
async fn first_mail(pool: &Pool, server: &Server) -> Peer {
    let (outcome, peer) = join!(deliver(pool), async {
        let mut peer = server.greet(PIPELINING).await;
        peer.take_mail().await;
        peer
    });
    assert!(outcome.is_ok());
    peer
}

/// Delivers a second mail: the first connection does `old`, and a new one has to take the mail.
async fn moves_to_a_new_connection(changes: Value, old: impl AsyncFnOnce(&mut Peer)) {
    let server = Server::start().await;
    let pool = server.pool(&changes);
    let mut peer = first_mail(&pool, &server).await;
    let (outcome, ()) = join!(deliver(&pool), async {
        old(&mut peer).await;
        server.greet(PIPELINING).await.take_mail().await;
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(pool.connections(), 1);
}

#[tokio::test]
async fn mails_follow_each_other_without_rset() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let mut peer = first_mail(&pool, &server).await;
    for _ in 0..3 {
        let (outcome, ()) = join!(deliver(&pool), peer.take_mail());
        assert!(outcome.is_ok());
    }
    assert_eq!(pool.connections(), 1);
    let ((), ()) = join!(pool.close(), async {
        peer.hear("QUIT").await;
        peer.say("221 bye").await;
        peer.hear_end().await;
    });
    assert_eq!(pool.connections(), 0);
}

#[tokio::test]
async fn rset_follows_a_failed_transaction() {
    for (replies, stage, code) in [
        ("450 later|503 no|503 no", Stage::Mail, 450),
        ("250 ok|550 no|554 no", Stage::Rcpt, 550),
        ("250 ok|250 ok|451 later", Stage::Data, 451),
    ] {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let mut peer = first_mail(&pool, &server).await;
        let (outcome, ()) = join!(deliver(&pool), async {
            peer.hear_transaction().await;
            peer.say(replies).await;
        });
        assert_eq!(outcome, Err(Failure::new(stage, Cause::Refused(Reply::new(code, None)))));
        let (outcome, ()) = join!(deliver(&pool), async {
            peer.hear("RSET").await;
            peer.say("250 ok").await;
            peer.take_mail().await;
        });
        assert!(outcome.is_ok());
        let (outcome, ()) = join!(deliver(&pool), peer.take_mail());
        assert!(outcome.is_ok());
    }
}

#[tokio::test]
async fn rset_follows_a_refused_message_and_comes_alone_without_pipelining() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let transaction = async |peer: &mut Peer, reply| {
        for (command, reply) in
            [("MAIL FROM:<noreply@shop.example>", "250"), ("RCPT TO:<ann@mail.example>", "250"), ("DATA", "354")]
        {
            peer.hear(command).await;
            assert_eq!(peer.rest(), b"");
            peer.say(reply).await;
        }
        peer.message().await.unwrap();
        peer.say(reply).await;
    };
    let ((), ()) = join!(
        async {
            let refusal = Cause::Refused(Reply::new(554, None));
            assert_eq!(deliver(&pool).await, Err(Failure::after_terminator(refusal)));
            assert!(deliver(&pool).await.is_ok());
        },
        async {
            let mut peer = server.greet(&[]).await;
            transaction(&mut peer, "554 spam").await;
            peer.hear("RSET").await;
            assert_eq!(peer.rest(), b"");
            peer.say("250 ok").await;
            transaction(&mut peer, "250 ok").await;
        }
    );
}

#[tokio::test]
async fn a_mail_moves_to_a_new_connection_when_the_old_one_fails_before_the_message() {
    for replies in ["421 idle for too long", "354 go", "250 ok|250 ok|250 ok", "250 ok|rubbish", "250 ok|334 more"] {
        moves_to_a_new_connection(json!({"max_connections": 1}), async |peer| {
            peer.hear_transaction().await;
            peer.say(replies).await;
            peer.hear_end().await;
        })
        .await;
    }
    for replies in [None, Some("250 ok"), Some("250 ok|250 ok")] {
        let begin = async |peer: &mut Peer| {
            peer.hear_transaction().await;
            if let Some(replies) = replies {
                peer.say(replies).await;
            }
        };
        moves_to_a_new_connection(json!({"max_connections": 1}), async |peer| {
            begin(peer).await;
            peer.close();
        })
        .await;
        moves_to_a_new_connection(json!({"reply_timeout_ms": 800}), async |peer| {
            begin(peer).await;
            peer.hear_end().await;
        })
        .await;
    }
}

#[tokio::test]
async fn it_moves_once_and_only_before_the_message() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let mut peer = first_mail(&pool, &server).await;
    let (outcome, ()) = join!(deliver(&pool), async {
        peer.hear_transaction().await;
        peer.close();
        let mut new = server.greet(PIPELINING).await;
        new.hear_transaction().await;
        new.close();
    });
    assert_eq!(outcome, Err(Failure::new(Stage::Mail, Cause::Closed)));

    let mut peer = first_mail(&pool, &server).await;
    let (outcome, ()) = join!(deliver(&pool), async {
        peer.hear_transaction().await;
        peer.say("250 ok|250 ok|354 go").await;
        peer.message().await.unwrap();
        peer.close();
    });
    assert_eq!(outcome, Err(Failure::after_terminator(Cause::Closed)));
}

#[tokio::test]
async fn a_refusal_stays_on_its_connection() {
    for (replies, stage) in [
        ("451 later|503 no|503 no", Stage::Mail),
        ("250 ok|421 4.7.0 too many recipients", Stage::Rcpt),
        ("250 ok|250 ok|421 busy", Stage::Data),
    ] {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let mut peer = first_mail(&pool, &server).await;
        let (outcome, ()) = join!(deliver(&pool), async {
            peer.hear_transaction().await;
            peer.say(replies).await;
        });
        let failure = outcome.unwrap_err();
        assert!(failure.stage() == stage && failure.refusal().is_some(), "{failure}");
    }
}

#[tokio::test]
async fn rset_that_fails_is_a_reason_to_move() {
    for reply in ["421 bye", "502 what?", "354 go"] {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let ((), ()) = join!(
            async {
                assert!(deliver(&pool).await.is_err());
                assert!(deliver(&pool).await.is_ok());
            },
            async {
                let mut peer = server.greet(PIPELINING).await;
                peer.hear_transaction().await;
                peer.say("250 ok|550 no|503 no").await;
                peer.hear("RSET").await;
                peer.hear_transaction().await;
                peer.say(reply).await;
                server.greet(PIPELINING).await.take_mail().await;
                peer.hear_end().await;
            }
        );
    }
}

#[tokio::test]
async fn a_connection_with_something_to_read_is_not_used_again() {
    for bytes in [&b""[..], b"2", b"250 ok\r\n", b"421 idle for too long\r\n"] {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let mut peer = first_mail(&pool, &server).await;
        if bytes.is_empty() {
            peer.close();
        } else {
            // Here the runtime has no turn between this and the delivery, so only the kernel knows.
            peer.send(bytes).await;
        }
        let (outcome, ()) = join!(deliver(&pool), async { server.greet(PIPELINING).await.take_mail().await });
        assert!(outcome.is_ok(), "{outcome:?}");
        if !bytes.is_empty() {
            peer.hear_end().await;
        }
    }
}

#[tokio::test]
async fn a_session_under_tls_is_used_again_if_it_is_silent() {
    let server = Server::start().await;
    let pool = server.pool(&json!({"security": "tls", "verify": false}));
    let greet = async || {
        let mut peer = server.accept().await.encrypt().await.unwrap();
        peer.say("220 ready").await;
        peer.hello(PIPELINING).await;
        peer
    };
    let ((), mut peer) = join!(
        async {
            assert!(deliver(&pool).await.is_ok());
            assert!(deliver(&pool).await.is_ok());
        },
        async {
            let mut peer = greet().await;
            peer.take_mail().await;
            peer.take_mail().await;
            peer
        }
    );
    peer.say("421 idle for too long").await;
    let (outcome, ()) = join!(deliver(&pool), async { greet().await.take_mail().await });
    assert!(outcome.is_ok());
    peer.hear_end().await;
}

#[tokio::test]
async fn a_session_ends_after_its_number_of_mails() {
    let server = Server::start().await;
    let pool = server.pool(&json!({"max_mails_per_connection": 2}));
    for _ in 0..2 {
        let mut peer = first_mail(&pool, &server).await;
        let (outcome, ()) = join!(deliver(&pool), async {
            peer.take_mail().await;
            peer.hear("QUIT").await;
            peer.hear_end().await;
        });
        assert!(outcome.is_ok());
        assert_eq!(pool.connections(), 0);
    }
}

#[tokio::test]
async fn an_idle_session_grows_old() {
    let server = Server::start().await;
    let pool = server.pool(&json!({"idle_timeout_ms": 0}));
    let mut peer = first_mail(&pool, &server).await;
    assert_eq!(pool.connections(), 1);
    pool.close_idle();
    assert_eq!(pool.connections(), 0);
    peer.hear("QUIT").await;
    peer.hear_end().await;
    // A mail does not take one that is too old either.
    let mut peer = first_mail(&pool, &server).await;
    first_mail(&pool, &server).await;
    peer.hear("QUIT").await;

    let patient = server.pool(&json!({}));
    let _peer = first_mail(&patient, &server).await;
    patient.close_idle();
    assert_eq!(patient.connections(), 1);
}

#[tokio::test]
async fn there_are_never_more_sessions_than_allowed() {
    let server = Server::start().await;
    let pool = server.pool(&json!({"max_connections": 2}));
    let (a, b, c, ()) = join!(deliver(&pool), deliver(&pool), pool.deliver(ENVELOPE, MESSAGE), async {
        let mut first = server.greet(PIPELINING).await;
        let mut second = server.greet(PIPELINING).await;
        first.hear_transaction().await;
        second.hear_transaction().await;
        assert_eq!(pool.connections(), 2);
        first.say("250 ok|250 ok|354 go").await;
        first.message().await.unwrap();
        first.say("250 ok").await;
        first.take_mail().await;
        second.say("250 ok|250 ok|354 go").await;
        second.message().await.unwrap();
        second.say("250 ok").await;
    });
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(pool.connections(), 2);
    // A check makes room for its session.
    let (outcome, ()) = join!(pool.check(), async {
        let mut peer = server.greet(PIPELINING).await;
        assert_eq!(pool.connections(), 2);
        peer.hear("QUIT").await;
        peer.say("221 bye").await;
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(pool.connections(), 1);
}

#[tokio::test]
async fn a_closed_pool_keeps_no_session() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let (outcome, ()) = join!(deliver(&pool), async {
        let mut peer = server.greet(PIPELINING).await;
        pool.close().await;
        peer.take_mail().await;
        peer.hear("QUIT").await;
    });
    assert!(outcome.is_ok());
    assert_eq!(pool.connections(), 0);
}
