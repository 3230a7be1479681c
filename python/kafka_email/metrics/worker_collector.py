"""The collector of a delivery worker's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kafka_email.exceptions import NotStartedError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from kafka_email._core import WorkerSnapshot
    from kafka_email.worker import Worker

__all__ = ["KafkaEmailWorkerCollector"]

_PREFIX = "kafka_email_worker_"
_MILLISECONDS = 1e-3
_GAUGES = {
    "at_work": "Records that are being delivered.",
    "waiting": "Records that wait for their next attempt.",
    "oldest_unfinished_seconds": "Age of the oldest unfinished record, 0 without one.",
    "breaker_open": "1 while the mail server, or a handler, fails and records wait for it.",
    "smtp_connections": "Open connections to the mail server.",
}


class KafkaEmailWorkerCollector(Collector):
    """Reads the counters of a worker when it is scraped. The pages of ``kafka-email worker`` have one.

    Args:
        worker: The worker, which need not be started yet. A worker that is started again counts from 0.
        registry: The registry to add the collector to; ``registry.register(collector)`` does the same.

    Raises:
        ValueError: The registry has a collector of this kind already.
    """

    def __init__(self, worker: Worker, registry: CollectorRegistry | None = None) -> None:
        self._worker = worker
        if registry is not None:
            try:
                registry.register(self)
            except ValueError as duplicated:
                message = "this registry has a KafkaEmailWorkerCollector already: give each worker its own registry"
                raise ValueError(message) from duplicated

    def describe(self) -> Iterable[Metric]:
        """Return the names of the metrics, so that a registry refuses a second collector."""
        return _families(None)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics. The registry calls it, from any thread."""
        try:
            return _families(self._worker.snapshot())
        except NotStartedError:
            return _families(None)


def _families(snapshot: WorkerSnapshot | None) -> Iterator[Metric]:
    labelled: dict[tuple[str, str, tuple[str, ...]], Sequence[tuple[object, ...]]] = {
        ("records", "Records that are finished.", ("outcome", "email_type")): snapshot.records if snapshot else (),
        ("attempts", "Attempts to deliver a record.", ("verdict",)): snapshot.attempts if snapshot else (),
        ("smtp_replies", "Replies of the mail server.", ("stage", "code")): snapshot.replies if snapshot else (),
    }
    for (name, text, labels), rows in labelled.items():
        counter = CounterMetricFamily(_PREFIX + name, text, labels=labels)
        for *of, count in rows:
            counter.add_metric([str(label) for label in of], float(str(count)))
        yield counter
    text = "Unfinished records of each partition that this worker has."
    lag = GaugeMetricFamily(_PREFIX + "lag_records", text, labels=("topic", "partition"))
    for topic, partition, records in snapshot.lags if snapshot else ():
        lag.add_metric([topic, str(partition)], records)
    yield lag
    for name, value in (_gauges(snapshot) if snapshot else dict.fromkeys(_GAUGES, 0)).items():
        yield GaugeMetricFamily(_PREFIX + name, _GAUGES[name], value=value)
    text = "Time from the record's timestamp to the reply that accepts the mail."
    yield _histogram(_PREFIX + "delivery_seconds", text, snapshot)


def _gauges(snapshot: WorkerSnapshot) -> dict[str, float]:
    oldest_ms = snapshot.oldest_unfinished_ms
    return {
        "at_work": snapshot.at_work,
        "waiting": snapshot.waiting,
        "oldest_unfinished_seconds": 0 if oldest_ms is None else max(0.0, time.time() - oldest_ms * _MILLISECONDS),
        "breaker_open": int(snapshot.is_breaker_open),
        "smtp_connections": snapshot.connections,
    }


def _histogram(name: str, text: str, snapshot: WorkerSnapshot | None) -> Metric:
    if snapshot is None:
        return HistogramMetricFamily(name, text, buckets=[("+Inf", 0)], sum_value=0)
    times = snapshot.delivery
    bounds = [*(f"{bound * _MILLISECONDS:.6g}" for bound in times.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(times.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=times.sum * _MILLISECONDS)
