"""`kafka-email worker`: signals, exit codes, log and pages."""

import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_email import EmailPublisher, KafkaConfig, kafka_manager
from kafka_email.cli.pages import served
from kafka_email.testing import EmbeddedBroker, SmtpSink
from kafka_email.worker import Worker
from support.cli import eventually, run, running, variables
from support.ports import HOST, free_port

JSON = ("--log-format", "json")


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as started:
        yield started


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as started:
        yield started


async def publish(broker: EmbeddedBroker, count: int = 1) -> None:
    await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers))
    for number in range(count):
        await EmailPublisher().publish_welcome_email(f"ada{number}@example.com", "Ada")
    await kafka_manager.stop()


def answer(port: int, page: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}{page}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_a_signal_drains_it_and_its_pages_answer_meanwhile(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    await publish(broker)
    port = free_port()
    given = variables(broker, sink, KAFKA_WORKER_HEALTH_PORT=str(port))
    with running("worker", *JSON, "--log-level", "debug", **given) as worker:
        worker.wait_for("delivered")
        (mail,) = sink.wait_for(1)
        assert mail.recipients == ("ada0@example.com",)
        status, body = answer(port, "/healthz")
        assert (status, json.loads(body)["is_stuck"]) == (200, False)
        assert answer(port, "/readyz")[0] == 200
        assert answer(port, "/")[0] == 404
        status, metrics = answer(port, "/metrics")
        assert status == 200
        assert 'kafka_email_worker_records_total{email_type="welcome",outcome="delivered"} 1.0' in metrics
        worker.process.send_signal(signal.SIGTERM)
        assert worker.exit_code() == 0
    assert worker.events[-1] == "worker_stopped"
    assert {"worker_started", "partitions_assigned", "delivered"} <= set(worker.events)
    assert "ada0@example.com" not in "".join(worker.lines)


@pytest.mark.parametrize("code", [3, 130])
async def test_a_drain_is_cut_off_by_its_limit_or_by_another_signal(
    broker: EmbeddedBroker, sink: SmtpSink, code: int
) -> None:
    port = free_port()
    limit = "0.2" if code == 3 else "25"
    given = variables(broker, sink, KAFKA_WORKER_DRAIN_TIMEOUT_S=limit, KAFKA_WORKER_HEALTH_PORT=str(port))
    with running("worker", *JSON, **given) as worker:
        worker.wait_for("partitions_assigned")
        sink.delay_ms = 10_000
        await publish(broker)
        eventually(lambda: json.loads(answer(port, "/healthz")[1])["at_work"] == 1, "a record at work")
        worker.process.send_signal(signal.SIGINT)
        if code == 130:
            eventually(lambda: answer(port, "/readyz")[0] == 503, "the drain")
            worker.process.send_signal(signal.SIGINT)
        assert worker.exit_code() == code
    assert "drain_incomplete" in worker.events


def test_the_pages_have_their_port_back_after_a_restart() -> None:
    worker, port = Worker(), free_port()
    for _ in range(2):
        with served(worker, HOST, port, threading.Event()):
            # The server ends the connection, and its system remembers that for a minute.
            assert answer(port, "/healthz")[0] == 200


GAVE_UP = """
from kafka_email.worker import Ending, Worker

class Hopeless(Worker):
    async def start(self): pass
    async def wait_ended(self): return Ending("gave_up", "Kafka is of no use", 0, 0)

worker = Hopeless()
number = 1
"""


def test_a_worker_that_gives_up_says_why(tmp_path: Path) -> None:
    tmp_path.joinpath("shop.py").write_text(GAVE_UP)
    done = run("worker", "shop:worker", cwd=tmp_path, KAFKA_WORKER_FROM_ADDRESS="a@example.com")
    assert (done.returncode, done.stderr) == (1, "Error: Kafka is of no use\n")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop", "'shop' is not MODULE:WORKER"),
        ("absent:worker", "cannot import absent: ModuleNotFoundError"),
        ("shop:absent", "shop has no such name"),
        ("shop:number", "number is a int, not a kafka_email.worker.Worker"),
        ("broken:worker", "cannot import broken: ZeroDivisionError"),
    ],
)
def test_a_wrong_target_is_a_configuration_error(tmp_path: Path, target: str, message: str) -> None:
    tmp_path.joinpath("shop.py").write_text(GAVE_UP)
    tmp_path.joinpath("broken.py").write_text("1 / 0\n")
    done = run("worker", target, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_missing_setting_is_named() -> None:
    done = run("worker", KAFKA_WORKER_FROM_ADDRESS="shop@example.com")
    assert (done.returncode, done.stderr) == (2, "Error: SmtpConfig: host: Field required: set SMTP_HOST\n")


def test_a_server_without_starttls_is_a_configuration_error(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    done = run("worker", **variables(broker, sink, SMTP_SECURITY="starttls"))
    assert done.returncode == 2
    assert "Error: The mail server does not offer STARTTLS" in done.stderr
    assert "SMTP_SECURITY=none" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_a_configuration_error(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    done = run("worker", **variables(broker, sink, KAFKA_WORKER_HEALTH_PORT=str(sink.port)))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "choose another KAFKA_WORKER_HEALTH_PORT" in done.stderr


@pytest.mark.parametrize("wrong", [["wroker"], ["worker", "--lgo"], ["render"]])
def test_what_does_not_exist_is_a_usage_error(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
