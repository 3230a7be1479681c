"""The metrics of one process, or of several, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from kafka_email._core import metrics
from kafka_email.exceptions import KafkaError
from kafka_email.manager import kafka_manager

if TYPE_CHECKING:
    from kafka_email import _core

COUNTERS = ("invalid", "resent", "connects", "disconnects", "rebuilds")
GAUGES = ("waiting", "in_flight", "bytes")


@dataclass
class Histogram:
    """Values counted in buckets: ``bounds`` are the upper bounds of all buckets but the last, which has none."""

    bounds: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sum: int = 0

    @classmethod
    def copy(cls, native: _core.Histogram) -> Histogram:
        """Copy a histogram of the native half."""
        return cls(bounds=native.bounds, counts=native.counts, sum=native.sum)

    def add(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        self.bounds = self.bounds or other.bounds
        self.counts = [a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0)]
        self.sum += other.sum


@dataclass
class Snapshot:
    """Counters since the start of the process, and the gauges of this moment; latencies are in microseconds.

    ``is_connected`` is None in a process without a producer.
    """

    latency: Histogram = field(default_factory=Histogram)
    batches: Histogram = field(default_factory=Histogram)
    failed: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    gauges: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GAUGES, 0))
    round_trips: dict[str, float] = field(default_factory=dict)
    is_connected: bool | None = None

    @classmethod
    def take(cls) -> Snapshot:
        """Take the snapshot of this process."""
        native = metrics()
        snapshot = cls(
            latency=Histogram.copy(native.latency),
            batches=Histogram.copy(native.batches),
            failed=native.failed,
            counters={
                "invalid": native.invalid,
                "resent": native.resent,
                "connects": native.connects,
                "disconnects": native.disconnects,
                "rebuilds": native.rebuilds,
            },
        )
        try:
            gauges = kafka_manager.native_producer().gauges()
        except KafkaError:  # not started, stopped, or started by a parent process only
            return snapshot
        snapshot.is_connected = kafka_manager.is_connected
        snapshot.gauges = {"waiting": gauges.waiting, "in_flight": gauges.in_flight, "bytes": gauges.bytes}
        # JSON has text keys only, and snapshots of other processes come as JSON.
        snapshot.round_trips = {str(broker): seconds for broker, seconds in gauges.round_trips.items()}
        return snapshot

    @property
    def is_empty(self) -> bool:
        """Whether there is no producer, and nothing was counted."""
        counts = (self.latency.counts, self.batches.counts, self.failed.values(), self.counters.values())
        return self.is_connected is None and not any(map(any, counts))

    def fits(self, other: Snapshot) -> bool:
        """Return whether both snapshots have the same histogram buckets. Only then can they be added."""
        pairs = (self.latency, other.latency), (self.batches, other.batches)
        return all(a.bounds == b.bounds and len(a.counts) == len(b.counts) for a, b in pairs)

    def add_counters(self, other: Snapshot) -> None:
        """Add the counters of another snapshot."""
        self.latency.add(other.latency)
        self.batches.add(other.batches)
        self.failed = _sum(self.failed, other.failed)
        self.counters = _sum(self.counters, other.counters)

    def add_gauges(self, other: Snapshot) -> None:
        """Add the gauges of another snapshot: connected if both are, and the longer round trip to each broker."""
        self.gauges = _sum(self.gauges, other.gauges)
        if other.is_connected is not None:
            self.is_connected = other.is_connected and self.is_connected is not False
        for broker, seconds in other.round_trips.items():
            self.round_trips[broker] = max(seconds, self.round_trips.get(broker, 0.0))


def total(snapshots: Iterable[tuple[Snapshot, bool]]) -> Snapshot:
    """Add up the snapshots of several processes.

    Args:
        snapshots: Each with whether its process still runs. Of a process that has ended, only the counters are added.
    """
    whole = Snapshot()
    for snapshot, is_alive in snapshots:
        whole.add_counters(snapshot)
        if is_alive:
            whole.add_gauges(snapshot)
    return whole


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
