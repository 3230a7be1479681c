"""What a handler is called with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafka_email._core import WorkerJob

__all__ = ["Context", "EmailEvent"]

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, repr=False)
class EmailEvent:
    """The event that asks for a mail. Its ``repr`` shows no personal data.

    Attributes:
        email_type: ``verification`` and so on; the type of another publisher's event.
        recipient: Address of the recipient.
        username: How to greet the recipient.
        link: Any text; empty when there is none.
        timestamp: Naive UTC time of the event.
        metadata: Whatever else the publisher passed.
        event_id: The header ``ce_id``, by which duplicates are recognised; None without one.
        headers: Header values as text, by name.
    """

    email_type: str
    recipient: str
    username: str
    link: str
    timestamp: datetime
    metadata: dict[str, Any]
    event_id: str | None
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<EmailEvent {self.email_type} event_id={self.event_id!r}>"


@dataclass(frozen=True)
class Context:
    """Where the event is stored, and how often it was tried.

    Attributes:
        topic: Topic name.
        partition: Partition, from 0.
        offset: Position in the partition.
        timestamp: Naive UTC time of the record.
        attempt: 1 when the event is tried for the first time.
    """

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    attempt: int


def event_of(job: WorkerJob) -> EmailEvent:
    """Return the event of a call."""
    return EmailEvent(
        email_type=job.email_type,
        recipient=job.recipient,
        username=job.username,
        link=job.link,
        timestamp=_parsed(job.timestamp) or _from_epoch(job.timestamp_ms),
        metadata=job.metadata,
        event_id=job.event_id,
        headers={name: (value or b"").decode(errors="replace") for name, value in job.headers},
    )


def context_of(job: WorkerJob) -> Context:
    """Return the place of a call's record."""
    return Context(
        topic=job.topic,
        partition=job.partition,
        offset=job.offset,
        timestamp=_from_epoch(job.timestamp_ms),
        attempt=job.attempt,
    )


def _from_epoch(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _parsed(text: str) -> datetime | None:
    try:
        # Before 3.11 Python reads no "Z".
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is None else time.astimezone(timezone.utc).replace(tzinfo=None)
