"""The examples work as their readers would run them."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from blocks import ROOT

from kafka_email.testing import EmbeddedBroker
from support.ports import HOST, free_port

DEMO = [sys.executable, "-u", "examples/demo.py"]


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables


def test_the_demo_shows_events_and_health() -> None:
    done = subprocess.run(
        DEMO, cwd=ROOT, env=environment(SERVE=""), capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\033" not in done.stdout
    assert done.stdout.count("ce_id: ") == 3
    assert "to ada@example.com: " in done.stdout
    assert "https://shop.example.com/verify?token=" in done.stdout
    assert '"healthy": true' in done.stdout
    assert done.stdout.endswith("All as expected\n")


def test_the_demo_uses_the_kafka_that_it_is_given() -> None:
    with EmbeddedBroker() as broker:
        given = environment(SERVE="", KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers)
        subprocess.run(DEMO, cwd=ROOT, env=given, capture_output=True, timeout=50, check=True)
        assert len(broker.records("email-events")) == 3


def test_the_demo_fails_with_one_line_when_there_is_no_kafka() -> None:
    given = environment(SERVE="", KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{free_port()}")
    done = subprocess.run(DEMO, cwd=ROOT, env=given, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("demo failed: Kafka at ")
    assert done.stderr.count("\n") == 1


def test_the_demo_serves_until_it_is_interrupted() -> None:
    demo = subprocess.Popen(
        DEMO, cwd=ROOT, env=environment(SERVE="1"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert demo.stdout is not None
        address = ""
        for line in demo.stdout:
            if line.startswith("  curl http"):
                address = line.split()[1]
                break
        assert httpx.get(address, trust_env=False).json()["status"] == "ok"
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)
        assert (demo.returncode, "stopping" in rest) == (0, True)
    finally:
        demo.kill()
        demo.communicate()


@pytest.fixture
def application() -> Iterator[tuple[httpx.Client, EmbeddedBroker]]:
    """The example application under uvicorn, as its first lines say, and the broker that it uses."""
    port = free_port()
    with EmbeddedBroker() as broker, httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False) as client:
        given = environment(KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers, KAFKA_REQUEST_TIMEOUT_MS="1000")
        command = [sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--host", HOST, "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=given, stderr=subprocess.PIPE)
        try:
            wait_until_it_listens(server)
            yield client, broker
        finally:
            server.terminate()
            server.communicate(timeout=30)


def wait_until_it_listens(server: "subprocess.Popen[bytes]") -> None:
    assert server.stderr is not None
    said, deadline = b"", time.monotonic() + 30
    while b"Uvicorn running" not in said:
        readable, _, _ = select.select([server.stderr], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(server.stderr.fileno(), 65536) if readable else b""
        assert chunk, said.decode()
        said += chunk


def test_the_application_asks_for_emails(application: tuple[httpx.Client, EmbeddedBroker]) -> None:
    client, broker = application
    registered = client.post("/register", json={"email": "ada@example.com", "username": "Ada"})
    reset = client.post("/password-reset", json={"email": "ada@example.com"})
    assert (registered.status_code, reset.status_code) == (201, 202)
    records = broker.records("email-events")
    assert [record.headers["ce_type"] for record in records] == ["verification", "password_reset"]
    assert [record.headers["ce_id"] for record in records] == [registered.json()["event_id"], reset.json()["event_id"]]
    assert {record.key for record in records} == {"ada@example.com"}


def test_the_application_says_when_kafka_is_away(application: tuple[httpx.Client, EmbeddedBroker]) -> None:
    client, broker = application
    assert client.get("/health").status_code == 200
    broker.broker_down()
    refused = client.post("/register", json={"email": "ada@example.com", "username": "Ada"}, timeout=30)
    assert (refused.status_code, refused.json()["retriable"]) == (503, True)
    assert client.get("/health", timeout=30).status_code == 503
