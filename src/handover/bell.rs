//! A bell that an event loop can watch: a connected pair of sockets.

use std::io::{self, Read, Write};

use super::handover::Bell;

#[cfg(unix)]
type Wire = std::os::unix::net::UnixStream;
#[cfg(windows)]
type Wire = std::net::TcpStream;

/// Rings by one byte on a socket; the loop watches the other end.
pub(crate) struct SocketBell {
    ringing: Wire,
    listening: Wire,
}

impl SocketBell {
    /// # Errors
    /// When the system has no socket left.
    pub(crate) fn new() -> io::Result<Self> {
        let (ringing, listening) = wires()?;
        ringing.set_nonblocking(true)?;
        listening.set_nonblocking(true)?;
        Ok(Self { ringing, listening })
    }

    /// The end that becomes readable.
    pub(crate) fn listening(&self) -> &Wire {
        &self.listening
    }
}

impl Bell for SocketBell {
    fn ring(&self) {
        // A full socket has bytes that the loop has yet to see, and nobody listens to a closed one.
        let _ = (&self.ringing).write(&[1]);
    }

    fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.listening).read(&mut bytes), Ok(64)) {}
    }
}

#[cfg(unix)]
fn wires() -> io::Result<(Wire, Wire)> {
    Wire::pair()
}

#[cfg(windows)]
fn wires() -> io::Result<(Wire, Wire)> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let ringing = Wire::connect(listener.local_addr()?)?;
    loop {
        let (listening, peer) = listener.accept()?;
        // Any process may connect to a loopback port; only our own end counts.
        if peer == ringing.local_addr()? {
            ringing.set_nodelay(true)?;
            return Ok((ringing, listening));
        }
    }
}
