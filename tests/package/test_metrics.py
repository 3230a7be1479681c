"""What Prometheus gets to see."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from kafka_email import EmailPublisher, KafkaError, KafkaTimeoutError, MessageTooLargeError
from kafka_email.metrics import KafkaEmailCollector, KafkaEmailWorkerCollector
from kafka_email.worker import Worker
from support.package.embedded import eventually, publish, started
from support.ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


class Scrapes:
    """How the samples changed since the last look; what stayed is left out."""

    def __init__(self) -> None:
        self._collector = KafkaEmailCollector()
        self._before = self.now()

    def now(self) -> dict[str, float]:
        samples = (sample for family in self._collector.collect() for sample in family.samples)
        return {
            sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value for sample in samples
        }

    def changes(self) -> dict[str, float]:
        before, self._before = self._before, self.now()
        changed = {name: value - before.get(name, 0) for name, value in self._before.items()}
        return {name: change for name, change in changed.items() if change and "_bucket" not in name}


async def test_what_is_published_is_counted() -> None:
    scrapes = Scrapes()
    async with started() as broker:
        broker.round_trip_ms = 20
        await asyncio.gather(*(publish(str(number)) for number in range(10)))
        changes = scrapes.changes()
        assert changes["kafka_email_published_total"] == changes["kafka_email_publish_latency_seconds_count"] == 10
        assert changes["kafka_email_batch_events_sum"] == 10
        assert 0.2 <= changes["kafka_email_publish_latency_seconds_sum"] < 10
        assert changes["kafka_email_connected"] == 1
        broker.broker_down()
        publishing = asyncio.create_task(publish())
        await eventually(lambda: scrapes.now()["kafka_email_in_flight_events"] == 1, 5)
        assert scrapes.now()["kafka_email_queued_bytes"] > 100
        broker.broker_up()
        await publishing
        assert scrapes.now()["kafka_email_in_flight_events"] == scrapes.now()["kafka_email_queued_bytes"] == 0
    assert scrapes.changes()["kafka_email_connected"] == -1


async def test_failures_are_counted_by_exception() -> None:
    scrapes = Scrapes()
    async with started(max_request_size=2000, request_timeout_ms=500) as broker:
        with pytest.raises(ValidationError):
            await EmailPublisher().publish_welcome_email("nobody", "Ann")
        with pytest.raises(ValidationError):
            await EmailPublisher().publish_many([{"email_type": "welcome"}] * 3)
        with pytest.raises(MessageTooLargeError):
            await publish("x" * 3000)
        broker.broker_down()
        with pytest.raises(KafkaTimeoutError):
            await publish()
    changes = scrapes.changes()
    assert changes["kafka_email_invalid_total"] == 2
    assert changes["kafka_email_failed_total[MessageTooLargeError]"] == 1
    assert changes["kafka_email_failed_total[KafkaTimeoutError]"] == 1
    assert "kafka_email_published_total" not in changes


async def test_counters_outlive_producers() -> None:
    scrapes = Scrapes()
    for _ in range(2):
        async with started():
            await publish()
    assert scrapes.changes()["kafka_email_published_total"] == 2


async def test_what_librdkafka_tells_is_counted() -> None:
    scrapes = Scrapes()
    async with started(producer_options={"statistics.interval.ms": "200"}) as broker:
        broker.fail_next("NOT_LEADER_OR_FOLLOWER")
        await publish()
        await eventually(lambda: any("round_trip" in name for name in scrapes.now()), 10)
        broker.broker_down()
        await asyncio.sleep(0.5)
        broker.broker_up()
        changes: dict[str, float] = {}
        deadline = time.monotonic() + 10
        while not {"kafka_email_broker_disconnects_total", "kafka_email_resent_total"} <= changes.keys():
            assert time.monotonic() < deadline, changes
            await asyncio.sleep(0.1)
            changes |= scrapes.changes()
        assert changes["kafka_email_resent_total"] >= 1
        assert "kafka_email_broker_connects_total" in changes


async def test_a_rebuilt_producer_is_counted() -> None:
    scrapes = Scrapes()
    async with started(producer_options={"enable.gapless.guarantee": "true"}) as broker:
        broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER", 10)
        with pytest.raises(KafkaError):
            await publish()
        await eventually(lambda: "kafka_email_producer_rebuilds_total" in scrapes.changes(), 10)


def test_the_exposition_is_well_formed() -> None:
    registry = CollectorRegistry()
    KafkaEmailCollector(registry)
    families = list(parser.text_string_to_metric_families(exposition.generate_latest(registry).decode()))
    assert families
    for family in families:
        assert re.fullmatch(r"kafka_email_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert ("seconds" in family.name) == ("latency" in family.name or "round_trip" in family.name)
        assert all(set(sample.labels) <= {"error", "broker", "le"} for sample in family.samples)
    assert len({family.name for family in families}) == len(families)
    assert list(text_string_to_metric_families(generate_latest(registry).decode()))


def test_a_second_collector_in_a_registry_is_refused() -> None:
    registry = CollectorRegistry()
    KafkaEmailCollector(registry)
    with pytest.raises(ValueError, match="take the other out"):
        KafkaEmailCollector(registry)
    other = CollectorRegistry()
    other.register(KafkaEmailCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        other.register(KafkaEmailCollector())


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bkafka_email_\w+", expression))


def test_dashboard_and_alerts_name_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    KafkaEmailCollector(registry)
    text = generate_latest(registry).decode()
    exposed = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    exposed.add("kafka_email_broker_round_trip_seconds")  # has no sample before a broker was asked
    worker = KafkaEmailWorkerCollector(Worker(), registry)
    ends = {"counter": ["_total"], "histogram": ["_bucket"]}
    exposed |= {each.name + end for each in worker.describe() for end in ends.get(each.type, [""])}
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for expression in [*queries, *(alert["expr"] for alert in alerts)]:
        assert metric_names(expression), expression
        assert metric_names(expression) <= exposed, expression
        assert expression.count("(") == expression.count(")")
    for alert in alerts:
        assert {"summary", "description"} <= alert["annotations"].keys()
    shown = set().union(*map(metric_names, queries))
    assert all(any(name.startswith(family.name) for name in shown) for family in registry.collect())


APPLICATION = """
import os
from fastapi import FastAPI, Response
from kafka_email import KafkaConfig
from kafka_email.fastapi import EmailPublisherDep, kafka_lifespan
from kafka_email.metrics import KafkaEmailCollector
from prometheus_client import CollectorRegistry, generate_latest

app = FastAPI(lifespan=kafka_lifespan)
registry = CollectorRegistry()
KafkaEmailCollector(registry)

@app.post("/publish")
async def publish(publisher: EmailPublisherDep) -> int:
    await publisher.publish_welcome_email("ann@gmail.com", "Ann")
    return os.getpid()

@app.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(registry), media_type="text/plain")
"""


@pytest.fixture
def server(kafka_broker: Any, tmp_path: Path) -> Iterator[str]:
    """An application with two workers."""
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "numbers").mkdir()
    port = free_port()
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "numbers"), "PATH": "/usr/bin:/bin"}
    environment["KAFKA_BOOTSTRAP_SERVERS"] = kafka_broker.bootstrap_servers
    command = [sys.executable, "-m", "uvicorn", "application:app", "--workers", "2", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_workers_of_one_server_are_added_up(server: str) -> None:
    deadline, pids, published = time.monotonic() + 40, set(), 0
    transport = httpx.HTTPTransport(retries=100)
    while len(pids) < 2:
        assert time.monotonic() < deadline
        try:
            with httpx.Client(transport=transport) as client:  # a connection each: another worker may get it
                pids.add(client.post(f"{server}/publish", timeout=10).json())
            published += 1
        except httpx.TransportError:
            time.sleep(0.2)
    counted = 0
    while counted < published:
        assert time.monotonic() < deadline, (counted, published)
        text = httpx.get(f"{server}/metrics", timeout=10).text
        counted = int(float(re.search(r"^kafka_email_published_total (\S+)", text, re.MULTILINE)[1]))
        time.sleep(0.2)
    assert counted == published
    assert "kafka_email_connected 1.0" in text
