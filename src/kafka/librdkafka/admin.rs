//! Requests of librdkafka's admin interface to one broker.

use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::{Broker, Silence, SHORTEST_REQUEST};
use super::client::{milliseconds, Client, Queue};
use super::event::RawEvent;

/// The first try of a request.
const FIRST_TRY: Duration = Duration::from_millis(100);

impl Client {
    /// Lets `send` send a request to a broker that accepted a connection just now, with these options and this queue for the
    /// answer; blocks up to `timeout`.
    ///
    /// While a broker refuses connections, librdkafka connects thousands of times a second until the request's timeout: each
    /// attempt is expedited past the back-off (`RD_KAFKA_OP_CONNECT`). So the first try is short: the broker may have died
    /// since it accepted, and is asked again only if it accepts once more.
    ///
    /// # Errors
    /// There was no answer in time, or the broker refuses connections by now.
    pub(super) fn ask_broker(
        &self,
        broker: &Broker,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        send: impl Fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<RawEvent, Silence> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut answer = self.ask_once(broker, operation, timeout.min(FIRST_TRY), &send);
        if answer.is_none() && timeout > FIRST_TRY {
            broker.accepts_connections(left()).map_err(|error| broker.refusal(&error))?;
            answer = self.ask_once(broker, operation, left(), &send);
        }
        answer.ok_or(Code::OperationTimedOut.into())
    }

    fn ask_once(
        &self,
        broker: &Broker,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        send: &impl Fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Option<RawEvent> {
        let (client, timeout) = (self.native_ptr(), milliseconds(timeout.max(SHORTEST_REQUEST)));
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: client and queue are alive; the request copies the options, which are given back once, and librdkafka
        // describes no refusal where there is no room for a text; the event is ours.
        let answer = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_broker(options, broker.number, ptr::null_mut(), 0);
            send(client, options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            RawEvent::take(sys::rd_kafka_queue_poll(queue.0, timeout))
        };
        answer.filter(|answer| answer.error_code() != Code::OperationTimedOut)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::client::tests::{client, LIMIT};
    use super::*;
    use crate::testing::EmbeddedBroker;

    #[test]
    fn a_broker_without_an_answer_is_asked_again_only_if_it_accepts_connections() {
        let cluster = EmbeddedBroker::start(1).unwrap();
        let client = client(cluster.bootstrap_servers());
        let known = client.probe("events", LIMIT).unwrap();
        let dead = Broker { number: 4, port: 1, ..known.first().unwrap().clone() };
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        let began = Instant::now();
        let answer = client.ask_broker(&dead, operation, LIMIT, |client, options, queue| {
            // SAFETY: all three are alive.
            unsafe { sys::rd_kafka_DescribeCluster(client, options, queue) }
        });
        let silence = answer.err().unwrap();
        assert!(silence.reason.unwrap().contains("cannot connect"));
        assert!(began.elapsed() < LIMIT / 2);
    }
}
