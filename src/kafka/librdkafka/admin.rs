//! Requests of librdkafka's admin interface to one broker.

use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;

use super::broker::{Broker, SHORTEST_REQUEST};
use super::client::{milliseconds, Client, Queue};
use super::event::RawEvent;

impl Client {
    /// Lets `send` send a request to the broker, with these options and this queue for the answer; blocks up to `timeout`.
    /// None: there was no answer in time.
    ///
    /// While the broker refuses connections, librdkafka connects thousands of times a second until the timeout: each attempt
    /// is expedited past the back-off (`RD_KAFKA_OP_CONNECT`). So see first whether it accepts one.
    pub(super) fn ask_broker(
        &self,
        broker: &Broker,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Option<RawEvent> {
        let (client, timeout) = (self.native_ptr(), milliseconds(timeout.max(SHORTEST_REQUEST)));
        // SAFETY: the client is alive; the queue is given back when `Queue` is dropped.
        let queue = Queue(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: client and queue are alive; the request copies the options, which are given back once, and librdkafka
        // describes no refusal where there is no room for a text; the event is ours.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_broker(options, broker.number, ptr::null_mut(), 0);
            send(client, options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            RawEvent::take(sys::rd_kafka_queue_poll(queue.0, timeout))
        }
    }
}
