"""Events that are recorded instead of being sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from kafka_email._core import Gauges, Handle, Health, RecordMetadata, StopCounts
from kafka_email._wakeup import running_loop
from kafka_email.manager import kafka_manager
from kafka_email.testing.broker import Raw, Recorded, Value, decode_headers, decode_key, decode_value

if TYPE_CHECKING:
    from datetime import timedelta

    from kafka_email._core import Batch, Token
    from kafka_email._encoding import EncodedHeaders
    from kafka_email.exceptions import KafkaError

__all__ = ["CapturedEvent", "CapturedEvents", "capture_events"]


@dataclass(frozen=True)
class CapturedEvent(Recorded):
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
    value: Value
    raw_value: Raw
    event_type: str
    headers: dict[str, str]


class CapturedEvents:
    """The events that were published in a ``capture_events()`` block, where this stands in for the native producer."""

    is_connected = True
    has_failed = False
    max_event_bytes = sys.maxsize
    outstanding = 0

    def __init__(self) -> None:
        self.events: list[CapturedEvent] = []
        """The events, in the order of publishing."""
        self._error: BaseException | None = None

    def clear(self) -> None:
        """Drop the events, and the error of ``fail_with``."""
        self.events.clear()
        self._error = None

    def fail_with(self, error: BaseException | None) -> None:
        """Let every further publish raise ``error``; None ends it."""
        self._error = error

    def publish_email(self, *_: object) -> None:
        """Publish nothing: Pydantic decides whether an event is valid, and ``publish`` gets the result."""

    def publish_mapping(self, *_: object) -> None:
        """Publish nothing: Pydantic encodes the event, and ``publish`` gets the result."""

    def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
    ) -> asyncio.Future[RecordMetadata]:
        """Record an event."""
        future: asyncio.Future[RecordMetadata] = running_loop().create_future()
        if self._error is None:
            future.set_result(self._record(topic, key, value, event_type, headers, event_id))
        else:
            future.set_exception(self._error)
        return future

    def publish_batch(
        self, topic: str, batch: Batch, first: int, count: int, headers: EncodedHeaders
    ) -> asyncio.Future[list[RecordMetadata | KafkaError]]:
        """Record some events of a batch."""
        future: asyncio.Future[list[RecordMetadata | KafkaError]] = running_loop().create_future()
        events = [batch[index] for index in range(first, min(first + count, len(batch)))]
        if self._error is None:
            future.set_result([self._record(topic, *event, headers, None) for event in events])
        else:
            # `publish_many` promises a `KafkaError`, but a test may let it fail with any error.
            future.set_result([cast("KafkaError", self._error)] * len(events))
        return future

    def _record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
    ) -> RecordMetadata:
        offset = len(self.events)
        event = CapturedEvent(
            topic=topic,
            key=decode_key(key or None),
            value=decode_value(value),
            raw_value=value,
            event_type=event_type,
            headers=decode_headers(headers or []),
        )
        self.events.append(event)
        event_id = event_id or f"captured-{offset}"
        return RecordMetadata(topic, partition=0, offset=offset, timestamp_ms=0, event_id=event_id)

    def call_email(self, *_: object) -> None:
        """Publish nothing: Pydantic decides whether an event is valid, and ``call_encoded`` gets the result."""

    def call_mapping(self, *_: object) -> None:
        """Publish nothing: Pydantic encodes the event, and ``call_encoded`` gets the result."""

    def call_encoded(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
        _may_wait: bool,
    ) -> Handle:
        """Record an event that is published without an event loop."""
        if self._error is not None:
            return Handle(event_id or "captured", topic, event_type, self._error)
        stored = self._record(topic, key, value, event_type, headers, event_id)
        return Handle(stored.event_id, topic, event_type, stored)

    def call_batch(self, topic: str, batch: Batch, headers: EncodedHeaders, may_wait: bool) -> list[Handle]:
        """Record the events of a batch that is published without an event loop."""
        events = [batch[index] for index in range(len(batch))]
        return [self.call_encoded(topic, *event, headers, None, may_wait) for event in events]

    async def started(self) -> None:
        """Return at once: there is nothing to connect to."""

    async def health(self, _: timedelta) -> Health:
        """Report perfect health."""
        return Health(healthy=True, brokers=1, latency_ms=0.0, queued=0, in_flight=0, last_error=None)

    async def stop(self, _: timedelta) -> StopCounts:
        """Return at once: there is nothing to flush."""
        return StopCounts(delivered=0, failed=0, elapsed_s=0.0)

    def stop_and_wait(self, _: timedelta, __: timedelta) -> StopCounts:
        """Return at once: there is nothing to flush."""
        return StopCounts(delivered=0, failed=0, elapsed_s=0.0)

    def abandon(self) -> None:
        """Do nothing: there is nothing to release."""

    def gauges(self) -> Gauges:
        """Report that nothing is in flight."""
        return Gauges(waiting=0, in_flight=0, bytes=0, round_trips={})

    def set_token(self, _: Token) -> None:
        """Do nothing: no broker asks for a token."""


@contextmanager
def capture_events() -> Iterator[CapturedEvents]:
    """Validate and record what is published, and send nothing; no ``start()`` is needed.

    In the block, ``start()`` and ``stop()`` leave a producer alone that was running before. After the block it is used
    again.
    """
    with kafka_manager.replaced_by(CapturedEvents()) as captured:
        yield captured
