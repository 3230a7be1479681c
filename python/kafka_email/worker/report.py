"""What a worker reports about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kafka_email._core import WorkerSnapshot

__all__ = ["DrainReport", "Ending", "WorkerHealth"]


@dataclass(frozen=True)
class DrainReport:
    """What became of the records at work when ``stop()`` was called.

    Attributes:
        finished: Records that were finished.
        abandoned: Records that were cut off: the next worker gets them again.
        elapsed_s: Seconds that the stop took.
    """

    finished: int
    abandoned: int
    elapsed_s: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary of JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Attributes:
        how: ``drained`` by ``stop()`` or ``abort()``; ``misconfigured``: a mistake was found; ``gave_up``: Kafka gave
            so many fatal errors that going on is no use.
        reason: What is wrong and what to do; None after a drain.
        finished: Records that were finished during the drain.
        abandoned: Records that were cut off.
    """

    how: Literal["drained", "misconfigured", "gave_up"]
    reason: str | None
    finished: int
    abandoned: int


@dataclass(frozen=True)
class WorkerHealth:
    """Health of a worker at one moment; truthy when healthy.

    Attributes:
        healthy: The worker is started and connected, nothing is stuck, and no breaker is open.
        is_connected: The coordinator of the consumer group answers.
        partitions: Partitions that are assigned to this worker.
        at_work: Records that are being delivered.
        waiting: Records that wait for their next attempt.
        is_breaker_open: The mail server, or a handler, fails: its records wait until it recovers.
        is_stuck: A partition makes no progress, or a record has exceeded all its deadlines.
        lag: Unfinished records by topic and partition, ``email-events[0]``.
    """

    healthy: bool
    is_connected: bool = False
    partitions: int = 0
    at_work: int = 0
    waiting: int = 0
    is_breaker_open: bool = False
    is_stuck: bool = False
    lag: dict[str, int] | None = None

    def __bool__(self) -> bool:
        return self.healthy

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary of JSON types, ready for the body of a health endpoint."""
        return asdict(self)


def health_of(snapshot: WorkerSnapshot) -> WorkerHealth:
    """Return the health of a running worker."""
    return WorkerHealth(
        healthy=snapshot.is_connected and not snapshot.is_stuck and not snapshot.is_breaker_open,
        is_connected=snapshot.is_connected,
        partitions=snapshot.assigned,
        at_work=snapshot.at_work,
        waiting=snapshot.waiting,
        is_breaker_open=snapshot.is_breaker_open,
        is_stuck=snapshot.is_stuck,
        lag={f"{topic}[{partition}]": lag for topic, partition, lag in snapshot.lags},
    )
