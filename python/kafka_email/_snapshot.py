"""The numbers of one process or of several, at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from kafka_email import _core
from kafka_email.manager import kafka_manager

COUNTERS = ("invalid", "resent", "connects", "disconnects", "rebuilds")
GAUGES = ("waiting", "in_flight", "bytes")


@dataclass
class Histogram:
    """Values counted in buckets: ``bounds`` are the largest values of all but the last, which has no limit."""

    bounds: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sum: int = 0

    def add(self, other: Histogram) -> None:
        """Count the other's values as well."""
        self.bounds = self.bounds or other.bounds
        self.counts = [a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0)]
        self.sum += other.sum


@dataclass
class Snapshot:
    """Counters since the start of the process, and gauges of now; latencies in microseconds."""

    latency: Histogram = field(default_factory=Histogram)
    batches: Histogram = field(default_factory=Histogram)
    failed: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    gauges: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GAUGES, 0))
    round_trips: dict[str, float] = field(default_factory=dict)
    is_connected: bool = False

    @classmethod
    def take(cls) -> Snapshot:
        """Take the one of this process."""
        native = _core.metrics()
        snapshot = cls(
            latency=Histogram(*native["latency"]),
            batches=Histogram(*native["batches"]),
            failed=native["failed"],
            counters={name: native[name] for name in COUNTERS},
            is_connected=kafka_manager.is_connected,
        )
        producer = kafka_manager._producer
        if isinstance(producer, _core.Producer) and not producer.is_inherited:
            *gauges, round_trips = producer.gauges()
            snapshot.gauges = dict(zip(GAUGES, gauges, strict=True))
            snapshot.round_trips = {str(broker): seconds for broker, seconds in round_trips}
        return snapshot

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Snapshot:
        """Make one of what ``dataclasses.asdict`` made of it."""
        histograms = {name: Histogram(**fields[name]) for name in ("latency", "batches")}
        return cls(**{**fields, **histograms})

    def add_counters(self, other: Snapshot) -> None:
        """Count what the other counted as well."""
        self.latency.add(other.latency)
        self.batches.add(other.batches)
        self.failed = {name: self.failed.get(name, 0) + count for name, count in other.failed.items()}
        self.counters = {name: count + other.counters[name] for name, count in self.counters.items()}

    def add_gauges(self, other: Snapshot) -> None:
        """Take the sum of both, connected if both are, and the longer round trip."""
        self.gauges = {name: value + other.gauges[name] for name, value in self.gauges.items()}
        self.is_connected = self.is_connected and other.is_connected
        for broker, seconds in other.round_trips.items():
            self.round_trips[broker] = max(seconds, self.round_trips.get(broker, 0.0))


def total(snapshots: Iterable[tuple[Snapshot, bool]]) -> Snapshot:
    """Add up processes, each with whether it lives: of one that ended, what it counted remains."""
    whole = Snapshot(is_connected=True)
    for snapshot, is_alive in snapshots:
        whole.add_counters(snapshot)
        if is_alive:
            whole.add_gauges(snapshot)
    return whole
