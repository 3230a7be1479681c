"""A Kafka inside the process."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import PlainSerializer, TypeAdapter

from kafka_email._core import EmbeddedBroker as NativeBroker
from kafka_email._dependency import NoParameters
from kafka_email.manager import kafka_manager

__all__ = ["EmbeddedBroker", "StoredRecord"]

_PAUSE_S = 0.02

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
    "COORDINATOR_LOAD_IN_PROGRESS": 14,
    "COORDINATOR_NOT_AVAILABLE": 15,
    "NOT_COORDINATOR": 16,
    "INVALID_TOPIC_EXCEPTION": 17,
    "RECORD_LIST_TOO_LARGE": 18,
    "NOT_ENOUGH_REPLICAS": 19,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": 20,
    "INVALID_REQUIRED_ACKS": 21,
    "TOPIC_AUTHORIZATION_FAILED": 29,
    "GROUP_AUTHORIZATION_FAILED": 30,
    "CLUSTER_AUTHORIZATION_FAILED": 31,
    "INVALID_TIMESTAMP": 32,
    "UNSUPPORTED_VERSION": 35,
    "POLICY_VIOLATION": 44,
    "OUT_OF_ORDER_SEQUENCE_NUMBER": 45,
    "DUPLICATE_SEQUENCE_NUMBER": 46,
    "INVALID_PRODUCER_EPOCH": 47,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": 53,
    "KAFKA_STORAGE_ERROR": 56,
    "UNKNOWN_PRODUCER_ID": 59,
    "UNSUPPORTED_COMPRESSION_TYPE": 76,
    "INVALID_RECORD": 87,
    "THROTTLING_QUOTA_EXCEEDED": 89,
    "PRODUCER_FENCED": 90,
}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


_AsText = PlainSerializer(_text, when_used="json")
Raw = Annotated[bytes, _AsText]
"""Bytes that are text in JSON; what is not UTF-8 is replaced."""
Value = Annotated[Any, _AsText]
"""Whatever JSON holds, or bytes that are not JSON."""


class Recorded:
    """A record or an event, as a dataclass, for a test to look at."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dictionary of JSON types; bytes become text, with U+FFFD for what is not UTF-8."""
        return dict(TypeAdapter(type(self)).dump_python(self, mode="json"))


@dataclass(frozen=True)
class StoredRecord(Recorded):
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
    value: Value
    raw_value: Raw
    headers: dict[str, str]


class EmbeddedBroker:
    """A Kafka protocol endpoint inside the process: librdkafka's mock cluster. No disk, no replication, no Java.

    Use it as a context manager, sync or async, or call :meth:`start` and :meth:`stop`. Real clients can connect to it.

    Args:
        brokers: Number of brokers.
        round_trip_ms: Milliseconds by which each answer is delayed.

    Raises:
        RuntimeError: From every method, when the broker is not running or refuses what is asked.
    """

    __signature__ = NoParameters()

    def __init__(self, brokers: int = 1, *, round_trip_ms: int = 0) -> None:
        if brokers < 1:
            raise ValueError("an embedded broker has at least one broker")
        self._brokers = brokers
        self._round_trip_ms = round_trip_ms
        self._cluster: NativeBroker | None = None

    def start(self) -> EmbeddedBroker:
        """Listen on a free port of the loopback interface."""
        if self._cluster is None:
            self._cluster = NativeBroker(self._brokers)
            self.round_trip_ms = self._round_trip_ms
        return self

    def stop(self) -> None:
        """Stop listening and drop all records. Does nothing when the broker is stopped already."""
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
        """``host:port`` of each broker, separated by commas, as every Kafka client accepts it."""
        return self._running.bootstrap_servers

    @property
    def round_trip_ms(self) -> int:
        """Milliseconds by which each answer is delayed; can be assigned."""
        return self._round_trip_ms

    @round_trip_ms.setter
    def round_trip_ms(self, delay: int) -> None:
        self._round_trip_ms = delay
        if self._cluster is not None:
            self._cluster.set_round_trip(timedelta(milliseconds=delay))

    def create_topic(self, topic: str, partitions: int = 4) -> None:
        """Create a topic. A topic that does not exist is created by the first publish, with 4 partitions."""
        self._running.create_topic(str(topic), partitions)

    def records(self, topic: str | None = None) -> list[StoredRecord]:
        """Return the records of a topic, ordered by partition and offset. Blocks for some milliseconds.

        Args:
            topic: Topic name; that of the e-mail events when None.
        """
        name = kafka_manager.email_topic if topic is None else str(topic)
        return [
            StoredRecord(
                topic=name,
                partition=record.partition,
                offset=record.offset,
                timestamp_ms=record.timestamp_ms,
                key=decode_key(record.key),
                value=decode_value(record.value or b""),
                raw_value=record.value or b"",
                headers=decode_headers(record.headers),
            )
            for record in self._running.records(name)
        ]

    def wait_for(self, n: int, topic: str | None = None, timeout: float = 10.0) -> list[StoredRecord]:
        """Wait until a topic holds at least ``n`` records, and return all of its records.

        Blocks; in a coroutine: ``await asyncio.to_thread(broker.wait_for, n)``.

        Args:
            n: How many records.
            topic: Topic name; that of the e-mail events when None.
            timeout: Seconds.

        Raises:
            TimeoutError: After ``timeout`` seconds there are fewer.
        """
        deadline = time.monotonic() + timeout
        while len(records := self.records(topic)) < n:
            if time.monotonic() >= deadline:
                name = kafka_manager.email_topic if topic is None else topic
                raise TimeoutError(f"topic {str(name)!r} holds {len(records)} records after {timeout} s, not {n}")
            time.sleep(_PAUSE_S)
        return records

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Make a broker the leader of a partition.

        Args:
            topic: Name of a topic that exists.
            partition: Partition, from 0.
            broker: Number of the broker, from 1.
        """
        self._running.set_leader(str(topic), partition, broker)

    def broker_down(self, broker: int | None = None) -> None:
        """Close all connections and refuse new ones.

        Args:
            broker: Number of the broker, from 1; all of them when None.
        """
        self._running.set_down(broker, True)

    def broker_up(self, broker: int | None = None) -> None:
        """Accept connections again; the records are still there. The argument is as for :meth:`broker_down`."""
        self._running.set_down(broker, False)

    def fail_next(self, code: str | int, n: int = 1, *, request: str = "Produce") -> None:
        """Answer the next ``n`` requests of a kind with an error.

        Unlike a real broker, this one does not check sequence numbers: it stores a request that follows the failed one,
        and librdkafka may take that for an acknowledgement of both. In a test that counts records, use
        ``KafkaConfig(max_in_flight_requests=1)``.

        Args:
            code: Kafka's name or number of the error (https://kafka.apache.org/protocol#protocol_error_codes).
            n: How many requests; a retry is a request too.
            request: Kafka's name of the request (https://kafka.apache.org/protocol#protocol_api_keys), such as
                ``InitProducerId`` or ``Metadata``.

        Raises:
            ValueError: There is no error, or no request, of that name.
        """
        if isinstance(code, str) and code not in _ERROR_CODES:
            raise ValueError(f"unknown error {code!r}: one of {', '.join(_ERROR_CODES)}, or a number")
        self._running.fail_next(request, _ERROR_CODES[code] if isinstance(code, str) else code, n)

    @property
    def _running(self) -> NativeBroker:
        if self._cluster is None:
            raise RuntimeError("the embedded broker is not running: use it in a `with` block, or call start()")
        return self._cluster


def decode_key(key: bytes | None) -> str | None:
    """Decode a key as text."""
    return None if key is None else key.decode(errors="replace")


def decode_value(value: bytes) -> Any:
    """Decode a value from JSON; other values are returned as they are."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def decode_headers(headers: list[tuple[str, bytes]]) -> dict[str, str]:
    """Decode the values of headers as text."""
    return {name: value.decode(errors="replace") for name, value in headers}
