"""Testing an application without Kafka: a broker inside the process, or no broker at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kafka_email import _core
from kafka_email.manager import kafka_manager

__all__ = ["CapturedEvent", "CapturedEvents", "EmbeddedBroker", "StoredRecord", "capture_events"]

_ERROR_CODES = {
    "CORRUPT_MESSAGE": 2,
    "UNKNOWN_TOPIC_OR_PARTITION": 3,
    "LEADER_NOT_AVAILABLE": 5,
    "NOT_LEADER_OR_FOLLOWER": 6,
    "REQUEST_TIMED_OUT": 7,
    "BROKER_NOT_AVAILABLE": 8,
    "REPLICA_NOT_AVAILABLE": 9,
    "MESSAGE_TOO_LARGE": 10,
    "NETWORK_EXCEPTION": 13,
    "INVALID_TOPIC_EXCEPTION": 17,
    "RECORD_LIST_TOO_LARGE": 18,
    "NOT_ENOUGH_REPLICAS": 19,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": 20,
    "INVALID_REQUIRED_ACKS": 21,
    "TOPIC_AUTHORIZATION_FAILED": 29,
    "CLUSTER_AUTHORIZATION_FAILED": 31,
    "INVALID_TIMESTAMP": 32,
    "POLICY_VIOLATION": 44,
    "OUT_OF_ORDER_SEQUENCE_NUMBER": 45,
    "DUPLICATE_SEQUENCE_NUMBER": 46,
    "INVALID_PRODUCER_EPOCH": 47,
    "KAFKA_STORAGE_ERROR": 56,
    "UNKNOWN_PRODUCER_ID": 59,
    "UNSUPPORTED_COMPRESSION_TYPE": 76,
    "INVALID_RECORD": 87,
    "THROTTLING_QUOTA_EXCEEDED": 89,
}


@dataclass(frozen=True)
class StoredRecord:
    """A record as it is stored in a topic.

    Attributes:
        topic: Topic name.
        partition: Partition, from 0.
        offset: Position in the partition.
        timestamp_ms: Milliseconds since the Unix epoch.
        key: Key as text, None when there is none.
        value: Value, decoded from JSON.
        raw_value: Value as it went over the wire.
        headers: Header values as text, by name.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str | None
    value: Any
    raw_value: bytes
    headers: dict[str, str]


class EmbeddedBroker:
    """A Kafka protocol endpoint inside the process: librdkafka's mock cluster. No disk, no replication, no Java.

    A context manager, sync and async; or call :meth:`start` and :meth:`stop`. Real clients can connect to it.

    Args:
        brokers: Number of brokers.
        round_trip_ms: Milliseconds that each answer is delayed by.

    Raises:
        RuntimeError: From every method, when the broker is not running or cannot do what is asked.
    """

    def __init__(self, brokers: int = 1, *, round_trip_ms: int = 0) -> None:
        if brokers < 1:
            raise ValueError("an embedded broker has at least one broker")
        self._brokers = brokers
        self._round_trip_ms = round_trip_ms
        self._cluster: _core.EmbeddedBroker | None = None

    def start(self) -> EmbeddedBroker:
        """Listen on a free port of the loopback interface."""
        if self._cluster is None:
            self._cluster = _core.EmbeddedBroker(self._brokers)
            self.round_trip_ms = self._round_trip_ms
        return self

    def stop(self) -> None:
        """Stop listening and forget all records. Does nothing when stopped already."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.stop()

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> EmbeddedBroker:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of each broker, separated by commas, as every Kafka client takes it."""
        return self._running.bootstrap_servers

    @property
    def round_trip_ms(self) -> int:
        """Milliseconds that each answer is delayed by; can be assigned."""
        return self._round_trip_ms

    @round_trip_ms.setter
    def round_trip_ms(self, delay: int) -> None:
        self._round_trip_ms = delay
        if self._cluster is not None:
            self._cluster.set_round_trip(timedelta(milliseconds=delay))

    def create_topic(self, topic: str, partitions: int = 4) -> None:
        """Create a topic. Without it, the first publish creates it with 4 partitions."""
        self._running.create_topic(str(topic), partitions)

    def records(self, topic: str) -> list[StoredRecord]:
        """Return what the topic holds, ordered by partition and offset. Blocks for some milliseconds."""
        name = str(topic)
        return [_stored(name, *row) for row in self._running.records(name)]

    def broker_down(self) -> None:
        """Close all connections and refuse new ones."""
        self._running.set_down(True)

    def broker_up(self) -> None:
        """Accept connections again; the records are still there."""
        self._running.set_down(False)

    def fail_next(self, code: str | int, n: int = 1) -> None:
        """Answer the next ``n`` Produce requests with an error.

        Unlike a real broker this one does not check sequence numbers: a request behind the failed one is stored, and
        may be taken for both. Where a test counts records, use ``KafkaConfig(max_in_flight_requests=1)``.

        Args:
            code: Kafka's name or number of the error (https://kafka.apache.org/protocol#protocol_error_codes).
            n: How many requests; a retry is a request too.

        Raises:
            ValueError: There is no error of that name.
        """
        if isinstance(code, str) and code not in _ERROR_CODES:
            raise ValueError(f"unknown error {code!r}: one of {', '.join(_ERROR_CODES)}, or a number")
        self._running.fail_next(_ERROR_CODES[code] if isinstance(code, str) else code, n)

    @property
    def _running(self) -> _core.EmbeddedBroker:
        if self._cluster is None:
            raise RuntimeError("the embedded broker is not running: use it in a `with` block, or call start()")
        return self._cluster


def _stored(
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes]],
) -> StoredRecord:
    raw_value = value or b""
    decoded = {name: header.decode(errors="replace") for name, header in headers}
    text = None if key is None else key.decode(errors="replace")
    return StoredRecord(topic, partition, offset, timestamp_ms, text, _decode(raw_value), raw_value, decoded)


def _decode(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


@dataclass(frozen=True)
class CapturedEvent:
    """An event that would have been published.

    Attributes:
        topic: Topic name.
        key: Key as text, None when there is none.
        value: Value, decoded from JSON.
        raw_value: Value as it would have gone over the wire.
        event_type: ``verification`` and so on; the type of another publisher's event.
        headers: The caller's headers, as text, by name.
    """

    topic: str
    key: str | None
    value: Any
    raw_value: bytes
    event_type: str
    headers: dict[str, str]


class CapturedEvents:
    """What was published while events are captured; stands in for the native producer."""

    is_connected = True
    is_inherited = False
    outstanding = 0

    def __init__(self) -> None:
        self.events: list[CapturedEvent] = []
        """The events, in the order of publishing."""
        self._error: BaseException | None = None

    def clear(self) -> None:
        """Forget the events, and what to fail with."""
        self.events.clear()
        self._error = None

    def fail_with(self, error: BaseException | None) -> None:
        """Let every further publish raise ``error``; None ends it."""
        self._error = error

    def publish_email(self, *_: object) -> None:
        """Leave every event to Pydantic."""

    def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: list[tuple[str, bytes]] | None,
    ) -> asyncio.Future[_core.RecordMetadata]:
        """Record an event instead of sending it."""
        future: asyncio.Future[_core.RecordMetadata] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            future.set_exception(self._error)
            return future
        stored = _stored(topic, 0, len(self.events), 0, key or None, value, headers or [])
        self.events.append(CapturedEvent(topic, stored.key, stored.value, value, event_type, stored.headers))
        future.set_result(_core.RecordMetadata(topic, 0, stored.offset, 0, f"captured-{stored.offset}"))
        return future

    def publish_batch(
        self,
        topic: str,
        batch: _core.Batch,
        first: int,
        count: int,
        headers: list[tuple[str, bytes]] | None,
    ) -> asyncio.Future[list[_core.RecordMetadata | BaseException]]:
        """Record some events of a batch instead of sending them."""
        events = [batch[index] for index in range(first, min(first + count, len(batch)))]
        published = (self.publish(topic, *event, headers) for event in events)
        return asyncio.gather(*published, return_exceptions=True)

    async def health(self, _: timedelta) -> tuple[bool, int, float, int, int, None]:
        """Report perfect health."""
        return (True, 1, 0.0, 0, 0, None)

    async def stop(self, _: timedelta) -> tuple[int, int, float]:
        """Have nothing to flush."""
        return (0, 0, 0.0)


@contextmanager
def capture_events() -> Iterator[CapturedEvents]:
    """Validate and record what is published, and send nothing; no ``start()`` is needed.

    A ``start()`` inside does nothing, and neither does the end of the block to a producer that was running before.
    """
    with kafka_manager.replaced_by(CapturedEvents()) as captured:
        yield captured
