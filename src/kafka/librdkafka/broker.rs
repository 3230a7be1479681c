//! One broker of the cluster, and whether it accepts connections.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;

/// librdkafka takes no shorter timeout of a request to a broker.
pub(super) const SHORTEST_REQUEST: Duration = Duration::from_millis(1);

/// Why a probe has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) code: Code,
    /// What the network said of a broker that was asked by its number, in librdkafka's form: the broker's name first.
    pub(crate) reason: Option<String>,
}

impl From<Code> for Silence {
    fn from(code: Code) -> Self {
        Self { code, reason: None }
    }
}

/// A broker of the cluster, as another one described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) number: i32,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Broker {
    pub(crate) fn new(number: i32, host: String, port: i32) -> Self {
        Self { number, host, port: u16::try_from(port).unwrap_or_default() }
    }

    pub(super) fn refusal(&self, error: &io::Error) -> Silence {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default();
        let reason = format!("{}:{}/{}: cannot connect: {error}", self.host, self.port, self.number);
        Silence { code: Code::BrokerTransportFailure, reason: Some(reason) }
    }

    /// Connects and hangs up, within `timeout`. A name server may take much longer: a thread of its own waits for it.
    pub(super) fn accepts_connections(&self, timeout: Duration) -> io::Result<()> {
        let (done, result) = mpsc::channel();
        let (host, port, deadline) = (self.host.clone(), self.port, Instant::now() + timeout);
        thread::Builder::new().name("kafka-email-dial".into()).spawn(move || {
            // Nobody waits any longer when it took too long.
            let _ = done.send(dial(&host, port, deadline));
        })?;
        result.recv_timeout(timeout).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Tries each address of a host until one accepts a connection.
fn dial(host: &str, port: u16, deadline: Instant) -> io::Result<()> {
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    for (index, address) in addresses.iter().enumerate() {
        // One that never answers leaves time for the others.
        let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let left = (deadline.saturating_duration_since(Instant::now()) / share).max(SHORTEST_REQUEST);
        result = TcpStream::connect_timeout(address, left).map(drop);
        if result.is_ok() {
            break;
        }
    }
    result
}
