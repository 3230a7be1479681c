//! The pool of sessions: a mail takes one, and gives it back if it can be used again.

use super::envelope::{Envelope, Mail};
use super::failure::Failure;
use super::handshake::Server;
use super::reply::Reply;
use super::session::Session;
use super::settings::Settings;
use super::stage::Stage;
use super::statistics::Statistics;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long the end of a pool waits for each server's goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions with one mail server. It needs a tokio runtime with I/O and time.
pub struct Pool {
    server: Server,
    token: Mutex<Option<Arc<str>>>,
    /// One for each session that may be in use.
    slots: Semaphore,
    /// The one used last is at the end, and is used next: the others may grow old.
    idle: Mutex<Vec<Idle>>,
    is_closed: AtomicBool,
    statistics: Arc<Statistics>,
}

struct Idle {
    session: Session,
    since: Instant,
}

impl Pool {
    /// A pool without a session. It reads the trust store.
    ///
    /// # Errors
    ///
    /// A text that names the setting which cannot be used, and why.
    pub fn new(settings: Settings) -> Result<Self, String> {
        for (name, value) in [
            ("max_connections", settings.max_connections),
            ("max_mails_per_connection", settings.max_mails_per_connection as usize),
        ] {
            if value == 0 {
                return Err(format!("{name} (SMTP_{}) has to be at least 1.", name.to_uppercase()));
            }
        }
        let statistics = Arc::new(Statistics::default());
        Ok(Self {
            slots: Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)),
            server: Server::new(settings, statistics.clone())?,
            token: Mutex::default(),
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
            statistics,
        })
    }

    /// Sends a message, which is not dot-stuffed. It waits for a session if all are in use.
    ///
    /// If a session that was used before fails before the server asks for the message, a new one is tried at once.
    ///
    /// # Errors
    ///
    /// The stage and the cause, and whether the server may have accepted the mail nevertheless.
    pub async fn deliver(&self, envelope: Envelope<'_>, message: &[u8]) -> Result<Reply, Failure> {
        let mail = Mail::new(envelope, message)?;
        let _slot = self.slot().await;
        let mut session = self.begin(&mail).await?;
        let outcome = session.finish(&mail).await;
        self.keep(session);
        outcome
    }

    /// Opens a session, signs in, and closes it again.
    ///
    /// # Errors
    ///
    /// The stage and the cause.
    pub async fn check(&self) -> Result<(), Failure> {
        let _slot = self.slot().await;
        // It may be the one for which the slot was kept.
        if let Some(mut oldest) = self.remove_idle(|idle| (!idle.is_empty()).then(|| idle.remove(0))) {
            oldest.session.say_quit();
        }
        let mut session = self.connect().await?;
        session.say_quit();
        session.wait_for_goodbye(GOODBYE_TIMEOUT).await;
        Ok(())
    }

    /// The access token for the sessions to come.
    pub fn set_token(&self, token: String) {
        *self.token.lock() = Some(token.into());
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.statistics.connections()
    }

    /// How often the server replied with which code at which stage.
    pub fn replies(&self) -> Vec<(Stage, u16, u64)> {
        self.statistics.replies()
    }

    /// Closes the sessions that were not used for `idle_timeout_ms`.
    pub fn close_idle(&self) {
        let is_old = |idle: &mut Idle| idle.since.elapsed() >= self.server.settings().idle_timeout();
        for mut idle in self.remove_idle(|idle| idle.extract_if(.., is_old).collect::<Vec<_>>()) {
            idle.session.say_quit();
        }
    }

    /// Closes the sessions that are not in use, and waits shortly for the server's goodbye. The others are closed when
    /// their mail is through.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut idle = self.remove_idle(std::mem::take);
        for Idle { session, .. } in &mut idle {
            session.say_quit();
        }
        let goodbyes = async {
            for Idle { session, .. } in &mut idle {
                session.wait_for_goodbye(GOODBYE_TIMEOUT).await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbyes).await;
    }

    async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.slots.acquire().await.ok()
    }

    /// A session that waits for the message of `mail`.
    async fn begin(&self, mail: &Mail<'_>) -> Result<Session, Failure> {
        if let Some(session) = self.reusable().await {
            match self.begin_on(session, mail).await {
                Err(failure) if failure.may_be_stale() => {}
                outcome => return outcome,
            }
        }
        self.begin_on(self.connect().await?, mail).await
    }

    async fn begin_on(&self, mut session: Session, mail: &Mail<'_>) -> Result<Session, Failure> {
        match session.begin(mail).await {
            Ok(()) => Ok(session),
            Err(failure) => {
                self.keep(session);
                Err(failure)
            }
        }
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let token = self.token.lock().clone();
        self.server.open(token.as_deref()).await
    }

    /// The session used last that is young enough, and to which the server did not speak since.
    async fn reusable(&self) -> Option<Session> {
        self.close_idle();
        loop {
            let mut idle = self.remove_idle(Vec::pop)?;
            if idle.session.is_quiet().await {
                return Some(idle.session);
            }
        }
    }

    /// Makes a session available to the next mail, or closes it.
    fn keep(&self, mut session: Session) {
        if !session.is_usable() {
            return;
        }
        let is_used_up = session.mails() >= self.server.settings().max_mails_per_connection;
        if is_used_up || self.is_closed.load(Ordering::Relaxed) {
            session.say_quit();
        } else {
            self.idle.lock().push(Idle { session, since: Instant::now() });
        }
    }

    fn remove_idle<R>(&self, remove: impl FnOnce(&mut Vec<Idle>) -> R) -> R {
        remove(&mut self.idle.lock())
    }
}
