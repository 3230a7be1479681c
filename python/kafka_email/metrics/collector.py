"""The collector that Prometheus scrapes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from kafka_email._dependency import NoParameters
from kafka_email.metrics.snapshot import Histogram, Snapshot, total
from kafka_email.metrics.workers import workers

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ImportError("kafka_email.metrics needs prometheus-client: pip install 'kafka-email[prometheus]'") from missing

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["KafkaEmailCollector"]

_COUNTERS = {
    "invalid": ("kafka_email_invalid", "Publishes refused because the event was not valid."),
    "resent": ("kafka_email_resent", "Events that were sent to a broker again."),
    "connects": ("kafka_email_broker_connects", "Attempts to connect to a broker."),
    "disconnects": ("kafka_email_broker_disconnects", "Connections to brokers that ended."),
    "rebuilds": ("kafka_email_producer_rebuilds", "Producers that replaced one that librdkafka gave up."),
}
_GAUGES = {
    "waiting": ("kafka_email_waiting_events", "Events that wait for those in flight, or for space in the queue."),
    "in_flight": ("kafka_email_in_flight_events", "Events in the queue, or sent and not acknowledged."),
    "bytes": ("kafka_email_queued_bytes", "Bytes of keys and values of the events in flight."),
}
_MICROSECONDS = 1e-6


class KafkaEmailCollector(Collector):
    """Reads the native counters when it is scraped, so it costs nothing in a publish.

    If the environment variable ``PROMETHEUS_MULTIPROC_DIR`` is set, the collector returns the sum of all workers of the
    server: each worker writes its numbers to that directory every 2 seconds.

    Args:
        registry: The registry to add the collector to; ``registry.register(collector)`` does the same.

    Raises:
        ValueError: The registry has a collector of this kind already.
    """

    __signature__ = NoParameters()

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._workers = workers(Path(directory)) if directory else None
        if registry is not None:
            try:
                registry.register(self)
            except ValueError as duplicated:
                message = "this registry has a KafkaEmailCollector already: one is enough, take the other out"
                raise ValueError(message) from duplicated

    def describe(self) -> Iterable[Metric]:
        """Return the names of the metrics, so that a registry refuses a second collector."""
        return _families(Snapshot())

    def collect(self) -> Iterable[Metric]:
        """Return all metrics. The registry calls it, from any thread."""
        own = [(Snapshot.take(), True)]
        return _families(total(own if self._workers is None else self._workers.snapshots()))


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    published = sum(snapshot.latency.counts)
    yield CounterMetricFamily("kafka_email_published", "Events acknowledged by Kafka.", value=published)
    failed = CounterMetricFamily("kafka_email_failed", "Events that failed, by exception.", labels=["error"])
    for error, count in snapshot.failed.items():
        failed.add_metric([error], count)
    yield failed
    for key, (name, text) in _COUNTERS.items():
        yield CounterMetricFamily(name, text, value=snapshot.counters[key])
    for key, (name, text) in _GAUGES.items():
        yield GaugeMetricFamily(name, text, value=snapshot.gauges[key])
    yield GaugeMetricFamily(
        "kafka_email_connected", "1 while the cluster answers.", value=int(bool(snapshot.is_connected))
    )
    text = "Mean round trip of the last seconds to each broker."
    round_trips = GaugeMetricFamily("kafka_email_broker_round_trip_seconds", text, labels=["broker"])
    for broker, seconds in snapshot.round_trips.items():
        round_trips.add_metric([broker], seconds)
    yield round_trips
    text = "Time from the local queue to the acknowledgement."
    yield _histogram("kafka_email_publish_latency_seconds", text, snapshot.latency, _MICROSECONDS)
    yield _histogram("kafka_email_batch_events", "Events acknowledged together.", snapshot.batches, 1)


def _histogram(name: str, text: str, histogram: Histogram, unit: float) -> Metric:
    bounds = [*(f"{bound * unit:.6g}" for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts or [0]), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum * unit)
