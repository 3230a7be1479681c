"""Events recorded in place of being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kafka_email import _core
from kafka_email.manager import kafka_manager
from kafka_email.testing.broker import decoded

__all__ = ["CapturedEvent", "CapturedEvents", "capture_events"]


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
        stored = decoded(topic, 0, len(self.events), 0, key or None, value, headers or [])
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
