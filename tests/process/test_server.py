"""An application under uvicorn, from its start to the signal that ends it."""

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kafka_email.testing import EmbeddedBroker
from support.package.embedded import usernames
from support.package.process import TESTS, Finished, assert_clean, finish, process
from support.ports import HOST, free_port


@contextmanager
def served(
    broker: EmbeddedBroker, *options: str, workers: int = 1
) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    port = free_port()
    place = ["-m", "uvicorn", "app:app", "--app-dir", str(TESTS / "process"), "--port", str(port)]
    servers = broker.bootstrap_servers
    with (
        process([*place, "--log-level", "warning", *options], KAFKA_BOOTSTRAP_SERVERS=servers) as server,
        httpx.Client(base_url=f"http://{HOST}:{port}", timeout=10) as client,
    ):
        for _ in range(workers):
            assert server.stdout.readline() == "started\n", finish(server)
        _wait_until_served(server, client)
        yield server, client


def _wait_until_served(server: "subprocess.Popen[str]", client: httpx.Client) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            assert client.get("/health").json() is True
        except httpx.TransportError:
            assert server.poll() is None, finish(server)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def assert_stopped(finished: Finished, number: signal.Signals, workers: int = 1) -> None:
    """Having shut down, uvicorn ends by the signal that it caught, or by itself."""
    assert finished.code in {0, -number}, finished
    assert finished.err == ""
    assert finished.out.splitlines() == ["stopped: 0 failed"] * workers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_stops_the_application(loop: str, number: signal.Signals) -> None:
    with EmbeddedBroker() as broker, served(broker, "--loop", loop) as (server, client):
        assert [client.post("/register", params={"name": name}).json() for name in "abc"] == [0, 1, 2]
        server.send_signal(number)
        assert_stopped(finish(server), number)
        assert usernames(broker) == ["a", "b", "c"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_lets_requests_under_way_end(loop: str) -> None:
    with EmbeddedBroker() as broker, served(broker, "--loop", loop) as (server, client):
        client.post("/register", params={"name": "first"})
        broker.round_trip_ms = 500
        with ThreadPoolExecutor(1) as other:
            answer = other.submit(client.post, "/register", params={"name": "second"})
            time.sleep(0.2)
            server.send_signal(signal.SIGTERM)
            assert answer.result().json() == 1
        assert_stopped(finish(server), signal.SIGTERM)


def test_two_workers() -> None:
    with EmbeddedBroker() as broker, served(broker, "--workers", "2", workers=2) as (server, client):
        for number in range(20):
            assert client.post("/register", params={"name": str(number)}, headers={"connection": "close"}).json() >= 0
        server.send_signal(signal.SIGTERM)
        assert_stopped(finish(server), signal.SIGTERM, workers=2)
        assert sorted(usernames(broker), key=int) == [str(number) for number in range(20)]


def test_reload() -> None:
    with (
        EmbeddedBroker() as broker,
        served(broker, "--reload", "--reload-dir", str(TESTS / "process")) as (server, client),
    ):
        assert client.post("/register", params={"name": "first"}).json() == 0
        Path(TESTS / "process" / "app.py").touch()
        assert server.stdout is not None
        assert [server.stdout.readline() for _ in range(2)] == ["stopped: 0 failed\n", "started\n"]
        _wait_until_served(server, client)
        assert client.post("/register", params={"name": "second"}).json() == 1
        server.send_signal(signal.SIGTERM)
        assert finish(server).out == "stopped: 0 failed\n"
        assert usernames(broker) == ["first", "second"]


def test_gunicorn_with_preload() -> None:
    """The application is imported by the parent, and started by each of its forked workers."""
    with EmbeddedBroker() as broker:
        port = free_port()
        place = ["--chdir", str(TESTS / "process"), "--bind", f"{HOST}:{port}", "--workers", "2", "--preload"]
        command = ["-m", "gunicorn", "app:app", "-k", "uvicorn_worker.UvicornWorker", *place, "--log-level", "error"]
        with (
            process(command, KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers) as server,
            httpx.Client(base_url=f"http://{HOST}:{port}", timeout=10) as client,
        ):
            assert server.stdout is not None
            assert [server.stdout.readline() for _ in range(2)] == ["started\n"] * 2, finish(server)
            for number in range(10):
                answer = client.post("/register", params={"name": str(number)}, headers={"connection": "close"})
                assert answer.json() >= 0
            server.send_signal(signal.SIGTERM)
            finished = finish(server)
            assert (finished.code, finished.out) == (0, "stopped: 0 failed\n" * 2), finished
            assert len(usernames(broker)) == 10


STARTING = """
import asyncio
from kafka_email import KafkaConfig, kafka_manager
print("starting", flush=True)
config = KafkaConfig(bootstrap_servers="127.0.0.1:{port}", max_connection_retries=1000)
try:
    asyncio.run(kafka_manager.start(config))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_during_the_start_ends_at_once() -> None:
    with process(["-c", STARTING.format(port=free_port())]) as starting:
        assert starting.stdout.readline() == "starting\n"
        time.sleep(0.7)
        began = time.monotonic()
        starting.send_signal(signal.SIGINT)
        finished = finish(starting)
        assert time.monotonic() - began < 3
    assert assert_clean(Finished(finished.code, finished.out, _without_outage(finished.err))) == "interrupted\n"


def _without_outage(text: str) -> str:
    """Without the line that says why the start takes so long."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("Kafka is out of reach"))
