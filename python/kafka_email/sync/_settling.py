"""The wait of a publish that blocks."""

from __future__ import annotations

from kafka_email._core import Handle, RecordMetadata


def settle(handle: Handle) -> RecordMetadata:
    """Wait for the outcome of an event. A wait that ends early takes it back if it still waits for space in the queue.

    Raises:
        KafkaError: That of the event.
    """
    try:
        return handle.result()
    except BaseException:
        handle._withdraw()
        raise
