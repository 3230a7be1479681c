//! From the connection to AUTH.

use super::server::{deliver, settings, Peer, Server, CERTIFICATE};
use crate::smtp::{handshake, Cause, Failure, Pool, Reply, Stage};
use serde_json::{json, Value};
use std::io::ErrorKind;
use std::ops::AsyncFnOnce;
use std::sync::Arc;
use tokio::join;

/// Checks a server that does `script` on the connection.
async fn check(changes: Value, script: impl AsyncFnOnce(Peer)) -> Result<(), Failure> {
    let server = Server::start().await;
    let pool = server.pool(&changes);
    let (outcome, ()) = join!(pool.check(), async { script(server.accept().await).await });
    assert_eq!(pool.connections(), 0);
    outcome
}

/// Signs in at a server that offers these mechanisms and then does `script`.
async fn sign_in(changes: Value, mechanisms: &str, script: impl AsyncFnOnce(&mut Peer)) -> Result<(), Failure> {
    check(changes, async |mut peer| {
        peer.say("220 ready").await;
        peer.hello(&[mechanisms]).await;
        script(&mut peer).await;
    })
    .await
}

fn failed(stage: Stage, cause: Cause) -> Result<(), Failure> {
    Err(Failure::new(stage, cause))
}

fn refused(stage: Stage, code: u16) -> Result<(), Failure> {
    failed(stage, Cause::Refused(Reply::new(code, None)))
}

async fn goodbye(peer: &mut Peer) {
    peer.hear("QUIT").await;
    peer.say("221 bye").await;
    peer.hear_end().await;
}

#[tokio::test]
async fn a_check_says_hello_and_goodbye() {
    let outcome = check(json!({"helo_name": "bücher.example"}), async |mut peer| {
        peer.say("220-mail.example|220 ready").await;
        peer.hear("EHLO xn--bcher-kva.example").await;
        peer.say("250 mail.example").await;
        goodbye(&mut peer).await;
    });
    assert_eq!(outcome.await, Ok(()));
}

#[tokio::test]
async fn nobody_listens() {
    let Server { listener } = Server::start().await;
    let pool = Pool::new(settings(listener.local_addr().unwrap().port(), &json!({}))).ok().unwrap();
    drop(listener);
    assert_eq!(pool.check().await, failed(Stage::Connect, Cause::Io(ErrorKind::ConnectionRefused)));
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    // No name server has to be asked about a label of 64 bytes.
    let pool = Pool::new(settings(25, &json!({"host": "x".repeat(64)}))).ok().unwrap();
    assert_eq!(pool.check().await, failed(Stage::Connect, Cause::HostNotFound));
}

#[tokio::test]
async fn greetings() {
    for (greeting, expected) in [
        ("554 5.3.2 not today", failed(Stage::Greeting, Cause::Refused(Reply::new(554, Some((5, 3, 2)))))),
        ("421 busy", refused(Stage::Greeting, 421)),
        ("250 ok", failed(Stage::Greeting, Cause::OutOfPlace(Reply::new(250, None)))),
        ("HTTP/1.1 400 Bad Request", failed(Stage::Greeting, Cause::Malformed)),
        ("220 ready|250 too much", failed(Stage::Ehlo, Cause::OutOfPlace(Reply::new(250, None)))),
        ("220 ready|too much", failed(Stage::Ehlo, Cause::Malformed)),
    ] {
        let outcome = check(json!({}), async |mut peer| {
            peer.say(greeting).await;
            peer.hear_end().await;
        });
        assert_eq!(outcome.await, expected, "{greeting}");
    }
    let silent = check(json!({"reply_timeout_ms": 200}), async |mut peer| peer.hear_end().await);
    assert_eq!(silent.await, failed(Stage::Greeting, Cause::Timeout));
    let closed = check(json!({}), async |mut peer| peer.close());
    assert_eq!(closed.await, failed(Stage::Greeting, Cause::Closed));
}

#[tokio::test]
async fn responses_to_ehlo() {
    for (response, expected) in [
        ("502 what?", refused(Stage::Ehlo, 502)),
        ("220 ready", failed(Stage::Ehlo, Cause::Malformed)),
        ("354 go", failed(Stage::Ehlo, Cause::OutOfPlace(Reply::new(354, None)))),
    ] {
        let outcome = check(json!({}), async |mut peer| {
            peer.say("220 ready").await;
            peer.hear("EHLO [127.0.0.1]").await;
            peer.say(response).await;
            peer.hear_end().await;
        });
        assert_eq!(outcome.await, expected, "{response}");
    }
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let trusted = json!({"security": "tls", "host": "localhost", "cafile": CERTIFICATE});
    let careless = json!({"security": "tls", "verify": false});
    for changes in [trusted, careless] {
        let outcome = check(changes, async |peer| {
            let mut peer = peer.encrypt().await.unwrap();
            peer.say("220 ready").await;
            peer.hello(&[]).await;
            goodbye(&mut peer).await;
        });
        assert_eq!(outcome.await, Ok(()));
    }
}

#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_to_have_the_right_name() {
    let untrusted = json!({"security": "tls", "host": "localhost"});
    let misnamed = json!({"security": "tls", "cafile": CERTIFICATE});
    for (changes, reason) in [(untrusted, "UnknownIssuer"), (misnamed, "not valid for name")] {
        let outcome = check(changes, async |peer| assert!(peer.encrypt().await.is_err())).await.unwrap_err();
        let text = outcome.to_string();
        assert!(text.contains(reason) && text.contains("SMTP_CAFILE"), "{text}");
        assert_eq!(outcome.stage(), Stage::Tls);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_silent() {
    let changes = json!({"security": "tls", "verify": false, "connect_timeout_ms": 300});
    let plain = check(changes.clone(), async |mut peer| {
        peer.say("220 ready").await;
        while peer.next().await.is_some() {}
    });
    let failure = plain.await.unwrap_err();
    assert!(matches!(failure.cause(), Cause::Tls(_)) && failure.stage() == Stage::Tls, "{failure}");
    assert!(failure.to_string().contains("SMTP_SECURITY=starttls"));
    let silent = check(changes, async |mut peer| while peer.next().await.is_some() {});
    assert_eq!(silent.await, failed(Stage::Tls, Cause::Timeout));
}

#[tokio::test]
async fn starttls_comes_before_everything_else() {
    let changes =
        json!({"security": "starttls", "host": "localhost", "cafile": CERTIFICATE, "username": "u", "password": "p"});
    let outcome = check(changes, async |mut peer| {
        peer.say("220 ready").await;
        // What it offers before the handshake does not count.
        peer.hello(&["STARTTLS", "AUTH LOGIN"]).await;
        peer.hear("STARTTLS").await;
        peer.say("220 go|250-injected|250 AUTH LOGIN").await;
        let mut peer = peer.encrypt().await.unwrap();
        peer.hello(&["AUTH PLAIN"]).await;
        peer.hear("AUTH PLAIN AHUAcA==").await;
        peer.say("235 welcome").await;
        goodbye(&mut peer).await;
    });
    assert_eq!(outcome.await, Ok(()));
}

#[tokio::test]
async fn starttls_is_required() {
    let changes = json!({"security": "starttls", "verify": false});
    let missing = sign_in(changes.clone(), "SIZE", Peer::hear_end).await;
    assert!(missing.as_ref().unwrap_err().to_string().contains("SMTP_SECURITY=none"));
    assert_eq!(missing, failed(Stage::StartTls, Cause::NoStartTls));
    let outcome = sign_in(changes, "STARTTLS", async |peer| {
        peer.hear("STARTTLS").await;
        peer.say("454 no TLS now").await;
        peer.hear_end().await;
    });
    assert_eq!(outcome.await, refused(Stage::StartTls, 454));
}

#[tokio::test]
async fn mechanisms_of_authentication() {
    let password = json!({"username": "user", "password": "pässword"});
    let plain = sign_in(password.clone(), "AUTH XOAUTH2 LOGIN PLAIN", async |peer| {
        peer.hear("AUTH PLAIN AHVzZXIAcMOkc3N3b3Jk").await;
        peer.say("235 2.7.0 welcome").await;
        goodbye(peer).await;
    });
    assert_eq!(plain.await, Ok(()));
    let login = sign_in(password, "AUTH=LOGIN CRAM-MD5", async |peer| {
        for (line, reply) in
            [("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("dXNlcg==", "334 UGFzc3dvcmQ6"), ("cMOkc3N3b3Jk", "235 ok")]
        {
            peer.hear(line).await;
            peer.say(reply).await;
        }
        goodbye(peer).await;
    });
    assert_eq!(login.await, Ok(()));
}

#[tokio::test]
async fn authentication_that_fails() {
    let password = json!({"username": "u", "password": "p"});
    for mechanisms in ["AUTH CRAM-MD5 XOAUTH2", "SIZE"] {
        let outcome = sign_in(password.clone(), mechanisms, Peer::hear_end).await;
        assert_eq!(outcome, failed(Stage::Auth, Cause::NoMechanism));
    }
    for (reply, cause) in [
        ("535 5.7.8 no", Cause::Refused(Reply::new(535, Some((5, 7, 8))))),
        ("334 more", Cause::OutOfPlace(Reply::new(334, None))),
    ] {
        let outcome = sign_in(password.clone(), "AUTH PLAIN", async |peer| {
            peer.hear("AUTH PLAIN AHUAcA==").await;
            peer.say(reply).await;
            peer.hear_end().await;
        });
        assert_eq!(outcome.await, failed(Stage::Auth, cause));
    }
}

#[tokio::test]
async fn a_token_is_sent_by_xoauth2_alone() {
    let changes = json!({"username": "u", "password": "p", "has_token": true});
    let server = Server::start().await;
    let pool = server.pool(&changes);
    let (outcome, ()) = join!(pool.check(), async { server.accept().await.hear_end().await });
    assert_eq!(outcome, failed(Stage::Auth, Cause::NoToken));
    pool.set_token("t".into());
    let (outcome, ()) = join!(pool.check(), async { server.greet(&["AUTH PLAIN LOGIN"]).await.hear_end().await });
    assert_eq!(outcome, failed(Stage::Auth, Cause::NoMechanism));
    let (outcome, ()) = join!(pool.check(), async {
        let mut peer = server.greet(&["AUTH PLAIN XOAUTH2"]).await;
        peer.hear("AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==").await;
        peer.say("334 eyJzdGF0dXMiOiI0MDEifQ==").await;
        peer.hear("").await;
        peer.say("535 5.7.8 expired").await;
        peer.hear_end().await;
    });
    assert_eq!(outcome, failed(Stage::Auth, Cause::Refused(Reply::new(535, Some((5, 7, 8))))));
    pool.set_token("new".into());
    let (outcome, ()) = join!(pool.check(), async {
        let mut peer = server.greet(&["AUTH XOAUTH2"]).await;
        peer.hear("AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIG5ldwEB").await;
        peer.say("235 welcome").await;
        goodbye(&mut peer).await;
    });
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn no_reply_to_a_mail_without_a_session() {
    let server = Server::start().await;
    let pool = server.pool(&json!({}));
    let (outcome, ()) = join!(deliver(&pool), async { server.accept().await.say("554 no").await });
    assert_eq!(outcome.map(drop), refused(Stage::Greeting, 554));
}

#[test]
fn credentials_travel_encrypted_or_stay_on_this_machine() {
    for (changes, remote, are_sent) in [
        (json!({}), "127.0.0.1", true),
        (json!({}), "::1", true),
        (json!({}), "::ffff:127.0.0.1", true),
        (json!({}), "192.0.2.1", false),
        (json!({}), "::ffff:192.0.2.1", false),
        (json!({"cleartext_auth": true}), "192.0.2.1", true),
        (json!({"security": "tls", "verify": false}), "192.0.2.1", true),
        (json!({"security": "starttls", "verify": false}), "192.0.2.1", true),
    ] {
        let mut settings = settings(25, &changes);
        settings.username = Some("u".into());
        let server = handshake::Server::new(settings, Arc::default()).unwrap();
        let failure = server.credentials(None, remote.parse().unwrap()).err();
        let expected = (!are_sent).then(|| Failure::new(Stage::Auth, Cause::CleartextRefused));
        assert_eq!(failure, expected, "{remote}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    for (changes, name) in [
        (json!({"security": "tls", "cafile": "/missing.pem"}), "SMTP_CAFILE"),
        (json!({"security": "tls", "cafile": concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")}), "SMTP_CAFILE"),
        (json!({"host": "mail example"}), "SMTP_HOST"),
        (json!({"host": ""}), "SMTP_HOST"),
        (json!({"helo_name": "a\r\nb"}), "SMTP_HELO_NAME"),
        (json!({"max_connections": 0}), "SMTP_MAX_CONNECTIONS"),
        (json!({"max_mails_per_connection": 0}), "SMTP_MAX_MAILS_PER_CONNECTION"),
    ] {
        let error = Pool::new(settings(25, &changes)).err().unwrap();
        assert!(error.contains(name), "{error}");
    }
}
