//! An SMTP server that accepts mails and delivers none, for tests and benchmarks.
//!
//! It lives in a thread of its own. A [`session`] reads and writes one connection, a [`dialogue`] decides what is
//! replied, and the [`store`] is what all sessions share with the test.

mod auth;
mod base64;
mod command;
mod dialogue;
mod faults;
mod ledger;
mod mail;
mod options;
mod session;
mod stage;
mod store;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use faults::Fault;
use ledger::Ledger;
pub(crate) use mail::{event_id, ReceivedMail};
pub(crate) use options::SinkOptions;
use session::Shared;
pub(crate) use stage::Stage;
use store::Store;
use tls::TlsError;

/// Connections that the kernel accepts before the sink does.
const BACKLOG: u32 = 1024;
/// The pause after a failed accept: usually the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Why a sink does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The port is taken, say.
    #[error("the SMTP sink cannot listen on port {0}: {1}")]
    Listen(u16, io::Error),
    /// No such folder, say.
    #[error("the SMTP sink cannot write its ledger: {0}")]
    Ledger(io::Error),
    /// The system has no thread or no file descriptor left.
    #[error("the SMTP sink cannot start: {0}")]
    Thread(io::Error),
    /// Wrong files.
    #[error("the SMTP sink cannot speak TLS: {0}")]
    Tls(#[from] TlsError),
}

/// A sink that can be started and stopped again and again. Mails and faults survive that; after the first start so does
/// the port.
pub(crate) struct SmtpSink {
    options: Arc<SinkOptions>,
    store: Arc<Store>,
    acceptor: Option<TlsAcceptor>,
    running: Mutex<Option<Running>>,
    port: Mutex<u16>,
}

struct Running {
    /// Dropped to end the thread.
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl SmtpSink {
    /// A sink that does not listen yet.
    ///
    /// # Errors
    /// When the certificate or its key cannot be used.
    pub(crate) fn new(options: SinkOptions) -> Result<Self, SinkError> {
        let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let port = Mutex::new(options.port);
        Ok(Self { options: Arc::new(options), store: Arc::default(), acceptor, running: Mutex::default(), port })
    }

    /// Listens, and returns the port.
    ///
    /// # Errors
    /// When the port is taken, the ledger cannot be opened, or the system has no thread left.
    pub(crate) fn start(&self) -> Result<u16, SinkError> {
        let mut running = self.running.lock();
        let mut port = self.port.lock();
        if running.is_none() {
            let shared = Shared {
                options: self.options.clone(),
                store: self.store.clone(),
                acceptor: self.acceptor.clone(),
                ledger: self.options.ledger.as_deref().map(Ledger::open).transpose().map_err(SinkError::Ledger)?,
            };
            let runtime = Builder::new_current_thread().enable_all().build().map_err(SinkError::Thread)?;
            let listener = listen(&runtime, *port).map_err(|error| SinkError::Listen(*port, error))?;
            *port = listener.local_addr().map_err(SinkError::Thread)?.port();
            let (stop, stopped) = oneshot::channel();
            let thread = thread::Builder::new()
                .name("kafka-email-sink".into())
                // The runtime takes all sessions with it, and with them their connections.
                .spawn(move || runtime.block_on(accept(listener, Arc::new(shared), stopped)))
                .map_err(SinkError::Thread)?;
            *running = Some(Running { stop, thread });
        }
        Ok(*port)
    }

    /// Stops listening and closes all connections.
    pub(crate) fn stop(&self) {
        if let Some(Running { stop, thread }) = self.running.lock().take() {
            drop(stop);
            // A panic there was reported when it happened; here only the end matters.
            let _ = thread.join();
        }
    }

    /// The mails, in the order in which they were accepted.
    pub(crate) fn mails(&self) -> Vec<Arc<ReceivedMail>> {
        self.store.mails()
    }

    /// How many mails were accepted.
    pub(crate) fn count(&self) -> usize {
        self.store.count()
    }

    /// Waits until `count` mails have been accepted, and returns how many there are then or after `timeout`.
    pub(crate) fn wait(&self, count: usize, timeout: Duration) -> usize {
        self.store.wait(count, timeout)
    }

    /// Replies with a code the next `count` times that a session reaches a stage.
    pub(crate) fn fail_next(&self, stage: Stage, code: u16, count: usize) {
        self.store.script(stage, Fault::Reply(code), count);
    }

    /// Closes the connection the next `count` times that a session reaches a stage.
    pub(crate) fn drop_next(&self, stage: Stage, count: usize) {
        self.store.script(stage, Fault::Drop, count);
    }

    /// Delays all further replies.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.store.set_delay(delay);
    }

    /// Forgets the mails and the faults.
    pub(crate) fn clear(&self) {
        self.store.clear();
    }
}

fn listen(runtime: &Runtime, port: u16) -> io::Result<TcpListener> {
    let _guard = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    // Elsewhere it would let two servers share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((socket, _)) = accepted {
            let shared = shared.clone();
            // What breaks a connection is the client's business.
            tokio::spawn(async move { drop(session::serve(socket, &shared).await) });
        } else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}
