"""What the package writes to the application's log: through the standard library, and always on an event loop.

Messages are formatted before they reach ``logging`` and have no arguments: applications install filters that rewrite
``record.msg`` when it holds words such as *password* or *token*, and an argument left over would break the record. The
type of an event may contain such a word, so it is passed in ``extra=``. No address, user name, link or payload is ever
logged.

Everything in ``extra=`` has a name that begins with ``kafka_email_``: plain names belong to others. ``event`` is the
message in structlog and an object in ECS, ``code`` is a namespace of OpenTelemetry, ``event_id`` is Sentry's own.

The native half calls ``log_native``, ``logs_deliveries``, ``delivered`` and ``failed`` with positional arguments.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from kafka_email.exceptions import KafkaError

events = logging.getLogger("kafka_email.events")
life_cycle = logging.getLogger("kafka_email.manager")
worker = logging.getLogger("kafka_email.worker")
tasks = logging.getLogger("kafka_email.celery")
librdkafka = logging.getLogger("kafka_email.librdkafka")

_REPEAT_S = 30.0


def _extra(event: str, **details: Any) -> dict[str, Any]:
    return {f"kafka_email_{name}": value for name, value in {"event": event, **details}.items()}


def log(level: int, event: str, message: str, **extra: Any) -> None:
    """Log a line about the life cycle of the producer; ``event`` is the stable name of what happened."""
    if life_cycle.isEnabledFor(level):
        life_cycle.log(level, message, extra=_extra(event, **extra))


def log_worker(level: int, event: str, message: str, **extra: Any) -> None:
    """Log a line about a delivery worker; ``event`` is the stable name of what happened."""
    logger = librdkafka if event == "librdkafka" else worker
    if logger.isEnabledFor(level):
        logger.log(level, message, extra=_extra(event, **extra))


def log_task(level: int, event: str, message: str) -> None:
    """Log a line about a task in the place of Celery's; ``event`` is the stable name of what happened."""
    if tasks.isEnabledFor(level):
        tasks.log(level, message, extra=_extra(event))


def log_native(level: int, event: str, message: str) -> None:
    """Log a line of the native half; ``level`` is the number that ``logging`` uses."""
    logger = librdkafka if event == "librdkafka" else life_cycle
    if logger.isEnabledFor(level):
        logger.log(level, message, extra=_extra(event))


def logs_deliveries() -> bool:
    """Return whether the application wants a line for each event."""
    return events.isEnabledFor(logging.DEBUG)


def delivered(event_id: str, topic: str, partition: int, offset: int, event_type: str) -> None:
    """Log that an event is stored."""
    message = f"delivered event {event_id} to {topic}[{partition}] at offset {offset}"
    events.debug(message, extra=_extra("delivered", event_id=event_id, event_type=event_type))


def failed(event_id: str, topic: str, event_type: str, error: KafkaError) -> None:
    """Log that an event failed. Of many that fail with one code, one line is written, and then one every 30 s.

    At DEBUG each of them has a line.
    """
    _failures.setdefault(error.code, _Failures()).log(event_id, topic, event_type, error)


def _log_failure(level: int, message: str, event_id: str, event_type: str, error: KafkaError) -> None:
    if events.isEnabledFor(level):
        extra = _extra("failed", event_id=event_id, event_type=event_type, code=error.code)
        events.log(level, message, extra=extra)


@dataclass
class _Failures:
    """Counts the events that failed with one code, and logs one of many."""

    logged_at: float = float("-inf")
    unlogged: int = 0

    def log(self, event_id: str, topic: str, event_type: str, error: KafkaError) -> None:
        now = time.monotonic()
        message = f"event {event_id} for {topic} failed: {error}"
        if now - self.logged_at < _REPEAT_S:
            self.unlogged += 1
            _log_failure(logging.DEBUG, message, event_id, event_type, error)
            return
        more = f" ({self.unlogged} more failed since the last such line)" if self.unlogged else ""
        self.logged_at, self.unlogged = now, 0
        _log_failure(logging.ERROR, message + more, event_id, event_type, error)


_failures: dict[str, _Failures] = {}
"""By code: Kafka has about a hundred."""


def forget_failures() -> None:
    """Reset the counts of failures. A forked child calls it, because the counts so far are those of its parent."""
    _failures.clear()
