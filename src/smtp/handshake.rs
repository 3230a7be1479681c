//! From a host name to a session that is signed in.

use super::authentication::{sign_in, Credentials};
use super::envelope::ascii_domain;
use super::failure::{Cause, Failure};
use super::offers::Offers;
use super::reply::Reply;
use super::session::Session;
use super::settings::{Security, Settings};
use super::stage::Stage;
use super::statistics::{Counted, Statistics};
use super::trust;
use super::wire::{within, Wire};
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{lookup_host, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The mail server, and how to be let in.
pub(super) struct Server {
    settings: Settings,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    statistics: Arc<Statistics>,
}

impl Server {
    /// Checks the settings, and reads the trust store if TLS is used.
    pub(super) fn new(settings: Settings, statistics: Arc<Statistics>) -> Result<Self, String> {
        let unusable = |name: &str, value: &str| {
            format!(
                "{} (SMTP_{}) cannot be used: {value:?} is no name or address of a host.",
                name,
                name.to_uppercase()
            )
        };
        let host = ascii_domain(&settings.host).ok_or_else(|| unusable("host", &settings.host))?.into_owned();
        if let Some(name) = settings.helo_name.as_deref().filter(|name| ascii_domain(name).is_none()) {
            return Err(unusable("helo_name", name));
        }
        let tls = if settings.security == Security::None {
            None
        } else {
            let name = ServerName::try_from(host.clone()).map_err(|_| unusable("host", &settings.host))?;
            Some((TlsConnector::from(trust::client_config(&settings)?), name))
        };
        Ok(Self { settings, host, tls, statistics })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens a session.
    pub(super) async fn open(&self, token: Option<&str>) -> Result<Session, Failure> {
        let (mut wire, local, remote) = self.connect().await.map_err(|cause| Failure::new(Stage::Connect, cause))?;
        let credentials = self.credentials(token, remote)?;
        if self.settings.security == Security::Tls {
            wire = self.encrypt(wire).await?;
        }
        wire.expect(Stage::Greeting, |reply| reply.code() == 220).await?;
        let mut offers = self.say_hello(&mut wire, local).await?;
        if self.settings.security == Security::StartTls {
            if !offers.start_tls() {
                return Err(Failure::new(Stage::StartTls, Cause::NoStartTls));
            }
            wire.ask(Stage::StartTls, "STARTTLS", Reply::is_success).await?;
            wire = self.encrypt(wire).await?;
            offers = self.say_hello(&mut wire, local).await?;
        }
        if let Some(credentials) = credentials {
            sign_in(&mut wire, offers, &credentials).await?;
        }
        Ok(Session::new(wire, offers))
    }

    /// A TCP connection, and the addresses of both its ends.
    async fn connect(&self) -> Result<(Wire, IpAddr, IpAddr), Cause> {
        let limit = self.settings.connect_timeout();
        let deadline = Instant::now() + limit;
        let target = (self.host.as_str(), self.settings.port);
        let addresses: Vec<SocketAddr> = match within(limit, lookup_host(target)).await {
            Ok(addresses) => addresses.collect(),
            Err(Cause::Timeout) => return Err(Cause::Timeout),
            Err(_) => return Err(Cause::HostNotFound),
        };
        let mut failure = Cause::HostNotFound;
        for (address, left) in addresses.iter().zip((1..=u32::try_from(addresses.len()).unwrap_or(u32::MAX)).rev()) {
            // An address that swallows packets leaves time for the others.
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            match within(share, TcpStream::connect(address)).await {
                Ok(socket) => return self.wire(socket).map_err(|error| Cause::Io(error.kind())),
                Err(cause) => failure = cause,
            }
        }
        Err(failure)
    }

    fn wire(&self, socket: TcpStream) -> std::io::Result<(Wire, IpAddr, IpAddr)> {
        let (local, remote) = (socket.local_addr()?.ip(), socket.peer_addr()?.ip());
        let (reply_timeout, dot_timeout) = (self.settings.reply_timeout(), self.settings.dot_timeout());
        let counted = Counted::new(self.statistics.clone());
        Ok((Wire::new(socket, reply_timeout, dot_timeout, counted)?, local, remote))
    }

    async fn encrypt(&self, wire: Wire) -> Result<Wire, Failure> {
        let Some((connector, name)) = &self.tls else { return Ok(wire) };
        let encrypted = wire.encrypt(connector, name.clone(), self.settings.connect_timeout()).await;
        encrypted.map_err(|cause| Failure::new(Stage::Tls, cause))
    }

    async fn say_hello(&self, wire: &mut Wire, local: IpAddr) -> Result<Offers, Failure> {
        let name = match (self.settings.helo_name.as_deref().and_then(ascii_domain), local.to_canonical()) {
            (Some(name), _) => name,
            (None, IpAddr::V4(address)) => format!("[{address}]").into(),
            (None, IpAddr::V6(address)) => format!("[IPv6:{address}]").into(),
        };
        wire.ask(Stage::Ehlo, &format!("EHLO {name}"), Reply::is_success).await?;
        Offers::parse(wire.last_reply()).map_err(|malformed| Failure::new(Stage::Ehlo, malformed.into()))
    }

    /// What to sign in with at `remote`, if anything.
    pub(super) fn credentials<'a>(
        &'a self,
        token: Option<&'a str>,
        remote: IpAddr,
    ) -> Result<Option<Credentials<'a>>, Failure> {
        let Settings { username, password, has_token, .. } = &self.settings;
        let credentials = match (has_token, token, username) {
            (true, Some(token), username) => {
                Credentials::Token { username: username.as_deref().unwrap_or_default(), token }
            }
            (true, None, _) => return Err(Failure::new(Stage::Auth, Cause::NoToken)),
            (false, _, Some(username)) => {
                Credentials::Password { username, password: password.as_deref().unwrap_or_default() }
            }
            (false, _, None) => return Ok(None),
        };
        if !self.settings.may_send_credentials(remote) {
            return Err(Failure::new(Stage::Auth, Cause::CleartextRefused));
        }
        Ok(Some(credentials))
    }
}
