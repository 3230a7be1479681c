"""What ``kafka_manager.health()`` and ``kafka_manager.stop()`` report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["KafkaHealth", "StopReport"]


@dataclass(frozen=True)
class KafkaHealth:
    """Health of the producer at one moment; truthy when healthy.

    Attributes:
        healthy: A broker answered in time, and the cluster acknowledges events.
        brokers: Number of brokers in the cluster; 0 when none answered.
        topic: The topic that e-mail events go to; empty when the configuration in the environment is not valid.
        latency_ms: Milliseconds until a broker answered; None when none did.
        queued: Events that wait for those in flight, or for space in the local queue.
        in_flight: Events in the local queue, or sent and not acknowledged yet.
        last_error: What is wrong; None when nothing is. It names brokers and holds no secret.
        librdkafka_version: Version of the librdkafka inside.
    """

    healthy: bool
    brokers: int
    topic: str
    latency_ms: float | None
    queued: int
    in_flight: int
    last_error: str | None
    librdkafka_version: str

    def __bool__(self) -> bool:
        return self.healthy

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary of JSON types, ready for the body of a health endpoint."""
        return asdict(self)


@dataclass(frozen=True)
class StopReport:
    """What became of the events that were not acknowledged yet when ``stop()`` was called.

    Attributes:
        delivered: Events that Kafka acknowledged.
        failed: Events that were given up; awaiting one of them raised an error.
        elapsed_s: Seconds that the stop took.
    """

    delivered: int
    failed: int
    elapsed_s: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary of JSON types."""
        return asdict(self)
