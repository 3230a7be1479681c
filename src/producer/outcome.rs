//! The way back: from librdkafka's threads to the event loop that waits.
//!
//! Each event loop has one [`OutcomeQueue`]. A native thread pushes what became of an event and, if nobody was told
//! yet, rings the [`SocketBell`]: one byte on a socket that the loop watches. The loop then takes everything at once.
//! No native thread ever enters Python.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use crate::handover::handover::{Bell, Handover, Turn};
use crate::kafka::failure::Failure;
use crate::kafka::health::Health;
use crate::kafka::librdkafka::event::Acknowledgement;
use crate::kafka::log_line::Notice;
use crate::producer::shutdown::StopReport;

/// Outcomes that may be pending before log lines are dropped.
const NOTICES: usize = 10_000;
/// The slot of an outcome that nobody waits for.
const NOBODY: u32 = u32::MAX;

/// Where an outcome goes: a queue (upper half) and the slot of the one who waits there (lower half).
///
/// It travels through librdkafka as the bits of the message's opaque pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(usize);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a ticket travels in a pointer: kafka-email needs a 64-bit platform");

impl Ticket {
    /// Ticket for a slot of a queue.
    pub fn new(queue: u32, slot: u32) -> Self {
        Self((queue as usize) << 32 | slot as usize)
    }

    /// Identity of the queue.
    #[allow(clippy::cast_possible_truncation)]
    pub fn queue(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Slot of the one who waits.
    #[allow(clippy::cast_possible_truncation)]
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The ticket as an opaque pointer's bits.
    pub fn to_bits(self) -> usize {
        self.0
    }

    /// The ticket from an opaque pointer's bits.
    pub fn from_bits(bits: usize) -> Self {
        Self(bits)
    }
}

/// What became of something the loop waits for.
pub enum Outcome {
    /// The event is stored.
    Delivered(Acknowledgement),
    /// The event, or the operation, failed.
    Failed(Box<Failure>),
    /// The deadline passed while the event is still with librdkafka: the waiter is told, and the slot stays taken until
    /// the last word comes.
    Overdue(Box<Failure>),
    /// The producer is connected, or connects in the background.
    Started,
    /// The producer is closed.
    Stopped(StopReport),
    /// A health report.
    Health(Box<Health>),
    /// Something to log; nobody waits for it.
    Notice(Notice),
}

/// Outcomes for one event loop, in the order in which they happened.
pub struct OutcomeQueue {
    id: u32,
    handover: Handover<(u32, Outcome), SocketBell>,
}

impl OutcomeQueue {
    /// A new queue, with an identity that this process never uses again.
    ///
    /// # Errors
    /// When the system has no socket left.
    pub fn new() -> io::Result<Self> {
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        Ok(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), handover: Handover::new(SocketBell::new()?) })
    }

    /// Identity of this queue in tickets.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The loop's end of it.
    pub fn handover(&self) -> &Handover<(u32, Outcome), SocketBell> {
        &self.handover
    }

    /// Adds one outcome.
    pub fn push(&self, slot: u32, outcome: Outcome) {
        self.handover.push((slot, outcome));
    }

    /// Adds the outcomes of one batch, leaving `batch` empty with its capacity; `turn` ends when they are settled.
    pub fn append(&self, batch: &mut Vec<(u32, Outcome)>, turn: Option<Arc<dyn Turn>>) {
        self.handover.append(batch, turn);
    }

    /// Adds a line for the log, unless the loop is far behind: then it has better things to do.
    pub fn notice(&self, notice: Notice) {
        if self.handover.waiting() < NOTICES {
            self.push(NOBODY, Outcome::Notice(notice));
        }
    }
}

#[cfg(unix)]
type Wire = std::os::unix::net::UnixStream;
#[cfg(windows)]
type Wire = std::net::TcpStream;

/// A connected pair of sockets, the ringing and the listening end.
pub struct SocketBell {
    ringing: Wire,
    listening: Wire,
}

impl SocketBell {
    fn new() -> io::Result<Self> {
        let (ringing, listening) = wires()?;
        ringing.set_nonblocking(true)?;
        listening.set_nonblocking(true)?;
        Ok(Self { ringing, listening })
    }

    /// The listening end.
    pub fn listening(&self) -> &Wire {
        &self.listening
    }
}

impl Bell for SocketBell {
    fn ring(&self) {
        // A full socket has bytes that the loop has yet to see, and a closed one has nobody to see them.
        let _ = (&self.ringing).write(&[1]);
    }

    fn hush(&self) {
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
