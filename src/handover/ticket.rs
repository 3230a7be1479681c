//! Where an outcome goes.

/// Names a waiter: the queue of an event loop (upper half) and a slot there (lower half).
///
/// A ticket travels through librdkafka as the bits of the message's opaque pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(usize);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a ticket travels in a pointer: kafka-email needs a 64-bit platform");

impl Ticket {
    pub(crate) fn new(queue: u32, slot: u32) -> Self {
        Self((queue as usize) << 32 | slot as usize)
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn queue(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn slot(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn to_bits(self) -> usize {
        self.0
    }

    pub(crate) fn from_bits(bits: usize) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::Ticket;

    #[test]
    fn bits_keep_queue_and_slot() {
        for (queue, slot) in [(0, 0), (1, u32::MAX), (u32::MAX, 7)] {
            let ticket = Ticket::from_bits(Ticket::new(queue, slot).to_bits());
            assert_eq!((ticket.queue(), ticket.slot()), (queue, slot));
        }
    }
}
