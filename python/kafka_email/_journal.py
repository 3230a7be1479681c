"""What is written to the application's log, through the standard library and always on an event loop.

Messages are formatted before they reach ``logging`` and have no arguments: applications install filters that rewrite
``record.msg`` when it holds words such as *password* or *token*, and an argument left over would break the record. What
may hold such a word, the event type, goes into ``extra=``. No address, user name, link or payload is ever written.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from kafka_email.exceptions import KafkaConnectionError, KafkaError, KafkaTimeoutError, QueueFullError

events = logging.getLogger("kafka_email.events")
life_cycle = logging.getLogger("kafka_email.manager")
librdkafka = logging.getLogger("kafka_email.librdkafka")

_REPEAT_S = 30.0


def say(level: int, event: str, message: str, **extra: Any) -> None:
    """Write a line about the life cycle; ``event`` is its stable name."""
    if life_cycle.isEnabledFor(level):
        life_cycle.log(level, message, extra={"event": event, **extra})


def notice(level: str, event: str, message: str) -> None:
    """Write what the native half has to say."""
    logger = librdkafka if event == "librdkafka" else life_cycle
    number = logging.getLevelName(level)
    if logger.isEnabledFor(number):
        logger.log(number, message, extra={"event": event})


def logs_deliveries() -> bool:
    """Whether anybody wants a line for each event."""
    return events.isEnabledFor(logging.DEBUG)


def delivered(event_id: str, topic: str, partition: int, offset: int, event_type: str) -> None:
    """Write that an event is stored."""
    message = f"delivered event {event_id} to {topic}[{partition}] at offset {offset}"
    events.debug(message, extra={"event": "delivered", "event_id": event_id, "event_type": event_type})


def failed(event_id: str, topic: str, event_type: str, error: KafkaError) -> None:
    """Write that an event failed; a broken cluster fails many, and gets one line and then one every 30 s."""
    if isinstance(error, (KafkaConnectionError, KafkaTimeoutError, QueueFullError)):
        _outage.failed(event_id, topic, event_type, error)
    else:
        _write_failure(f"event {event_id} for {topic} failed: {error}", event_id, event_type, error)


def _write_failure(message: str, event_id: str, event_type: str, error: KafkaError) -> None:
    if events.isEnabledFor(logging.ERROR):
        extra = {"event": "failed", "event_id": event_id, "event_type": event_type, "code": error.code}
        events.error(message, extra=extra)


@dataclass
class _Outage:
    """Failures of a cluster that does not answer."""

    told_at: float = float("-inf")
    untold: int = 0

    def failed(self, event_id: str, topic: str, event_type: str, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self.told_at < _REPEAT_S:
            self.untold += 1
            return
        more = f" ({self.untold} more failed since the last such line)" if self.untold else ""
        self.told_at, self.untold = now, 0
        _write_failure(f"event {event_id} for {topic} failed: {error}{more}", event_id, event_type, error)


_outage = _Outage()
