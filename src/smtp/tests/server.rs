//! A mail server that says what a test tells it to say.

use crate::smtp::wire::Socket;
use crate::smtp::{Envelope, Failure, Pool, Reply, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{json, Value};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The certificate of the server, for the name `localhost`.
pub(super) const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/smtp/tests/certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/smtp/tests/key.pem");

pub(super) const ENVELOPE: Envelope<'static> =
    Envelope { sender: "noreply@shop.example", recipient: "ann@mail.example" };
pub(super) const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nline\r\n.\r\n";
/// What the server makes of `MESSAGE`.
pub(super) const RECEIVED: &str = "Subject: hello\r\n\r\nline\r\n..\r\n.\r\n";

/// A test that hangs fails after this time.
async fn soon<T>(action: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), action).await.unwrap_or_else(|_| panic!("the client does nothing"))
}

pub(super) fn settings(port: u16, changes: &Value) -> Settings {
    let mut settings = json!({
        "host": "127.0.0.1", "port": port, "security": "none", "username": null, "password": null, "has_token": false,
        "cafile": null, "verify": true, "cleartext_auth": false, "helo_name": null, "max_connections": 10,
        "max_mails_per_connection": 100, "idle_timeout_ms": 60000, "connect_timeout_ms": 8000, "reply_timeout_ms": 8000,
        "dot_timeout_ms": 8000,
    });
    settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(settings).unwrap()
}

/// Delivers `MESSAGE` to `ENVELOPE`.
pub(super) async fn deliver(pool: &Pool) -> Result<Reply, Failure> {
    pool.deliver(ENVELOPE, MESSAGE).await
}

pub(super) struct Server {
    pub(super) listener: TcpListener,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(super) fn pool(&self, changes: &Value) -> Pool {
        Pool::new(settings(self.port(), changes)).unwrap()
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Peer {
        let (socket, _) = soon(self.listener.accept()).await.unwrap();
        Peer::new(socket)
    }

    /// The next connection, after the greeting and a response to EHLO with these extensions.
    pub(super) async fn greet(&self, extensions: &[&str]) -> Peer {
        let mut peer = self.accept().await;
        peer.say("220 mail.example ready").await;
        peer.hello(extensions).await;
        peer
    }
}

/// The server's end of a connection.
pub(super) struct Peer {
    socket: Box<dyn Socket>,
    received: Vec<u8>,
}

impl Peer {
    pub(super) fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self { socket: Box::new(socket), received: Vec::new() }
    }

    /// The same connection under TLS, if the client agrees.
    pub(super) async fn encrypt(self) -> std::io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(CERTIFICATE).unwrap()],
                PrivateKeyDer::from_pem_file(KEY).unwrap(),
            )
            .unwrap();
        assert_eq!(self.received, b"", "bytes before the handshake");
        let socket = soon(TlsAcceptor::from(Arc::new(config)).accept(self.socket)).await?;
        Ok(Self { socket: Box::new(socket), received: Vec::new() })
    }

    /// Sends the bytes in one write.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends the bytes if the client is still there.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) -> Option<()> {
        self.socket.write_all(bytes).await.ok()?;
        self.socket.flush().await.ok()
    }

    /// Sends lines, which `|` separates, in one write.
    pub(super) async fn say(&mut self, lines: &str) {
        self.send(format!("{}\r\n", lines.replace('|', "\r\n")).as_bytes()).await;
    }

    /// Everything up to `end`.
    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.received, end) {
                let rest = self.received.split_off(at + end.len());
                return Some(String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap());
            }
            match soon(self.socket.read_buf(&mut self.received)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next command, or `None` at the end of the connection.
    pub(super) async fn next(&mut self) -> Option<String> {
        Some(self.until(b"\r\n").await?.trim_end_matches("\r\n").to_owned())
    }

    /// Expects these commands, which `|` separates.
    pub(super) async fn hear(&mut self, commands: &str) {
        for command in commands.split('|') {
            assert_eq!(self.next().await.as_deref(), Some(command));
        }
    }

    /// What came and was not looked at.
    pub(super) fn rest(&self) -> &[u8] {
        &self.received
    }

    /// The message after DATA, as it was sent.
    pub(super) async fn message(&mut self) -> Option<String> {
        self.until(b"\r\n.\r\n").await
    }

    /// Answers EHLO.
    pub(super) async fn hello(&mut self, extensions: &[&str]) {
        self.hear("EHLO [127.0.0.1]").await;
        let lines: Vec<_> = ["mail.example"].iter().chain(extensions).map(|line| format!("250-{line}")).collect();
        self.say(&format!("{}|250 HELP", lines.join("|"))).await;
    }

    /// Expects MAIL, RCPT and DATA at once.
    pub(super) async fn hear_transaction(&mut self) {
        self.hear("MAIL FROM:<noreply@shop.example>|RCPT TO:<ann@mail.example>|DATA").await;
    }

    /// Accepts a mail that comes with PIPELINING.
    pub(super) async fn take_mail(&mut self) {
        self.hear_transaction().await;
        self.say("250 ok|250 ok|354 go").await;
        assert_eq!(self.message().await.as_deref(), Some(RECEIVED));
        self.say("250 2.0.0 taken").await;
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        // The other half is dropped with it.
        self.socket = Box::new(tokio::io::duplex(1).0);
    }

    /// Expects the end of the connection, and nothing before it.
    pub(super) async fn hear_end(&mut self) {
        assert_eq!(self.next().await, None);
        assert_eq!(self.rest(), b"");
    }
}
