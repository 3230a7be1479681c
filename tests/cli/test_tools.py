"""`check`, `render`, `topics create`, `dlt` and `dev`."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_email.testing import EmbeddedBroker, SmtpSink, StoredRecord
from support.cli import COMMAND, run, variables
from support.kafka.cluster import Kafka
from support.kafka.topics import leaders
from support.ports import HOST, free_port

TOPICS = ["email-events", "email-events-dlt"]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as started:
        for topic in TOPICS:
            started.create_topic(topic, 1)
        yield started


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as started:
        yield started


def test_check_passes_each_step_and_shows_no_secret(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    done = run("check", **variables(broker, sink))
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line.split(" (")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert steps == ["configuration: ok", "templates: ok", "mail server: ok", "Kafka: ok"]
    assert "WorkerConfig.from_address = shop@example.com (from KAFKA_WORKER_FROM_ADDRESS)" in done.stdout
    assert sink.count == 0


def test_check_goes_on_after_a_step_that_fails(broker: EmbeddedBroker, tmp_path: Path) -> None:
    tmp_path.joinpath("welcome.subject.txt").write_text("Hello {{ nickname }}")
    tmp_path.joinpath("welcome.txt").write_text("Hello\n")
    given = variables(broker, KAFKA_WORKER_TEMPLATES=str(tmp_path), SMTP_HOST=HOST, SMTP_PORT=str(free_port()))
    done = run("check", **given, SMTP_USERNAME="u", SMTP_PASSWORD="sesame", SMTP_SECURITY="none")
    assert done.returncode == 2
    assert "sesame" not in done.stdout
    assert "SmtpConfig.password = ********** (from SMTP_PASSWORD)" in done.stdout
    assert "templates: FAILED" in done.stdout
    assert "welcome.subject.txt:1" in done.stdout
    assert "mail server: FAILED" in done.stdout
    assert "Check SMTP_HOST and SMTP_PORT" in done.stdout
    assert "Kafka: ok" in done.stdout


SHOP = """
from kafka_email import KafkaConfig
from kafka_email.worker import SmtpConfig, Worker, WorkerConfig

worker = Worker(
    WorkerConfig(from_address="shop@example.com"),
    kafka=KafkaConfig(bootstrap_servers="{servers}"),
    smtp=SmtpConfig(host="{host}", port={port}, security="none"),
)
"""


def test_check_is_about_the_worker_that_it_is_given(broker: EmbeddedBroker, sink: SmtpSink, tmp_path: Path) -> None:
    text = SHOP.format(servers=broker.bootstrap_servers, host=sink.host, port=sink.port)
    tmp_path.joinpath("shop.py").write_text(text)
    done = run("check", "shop:worker", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "WorkerConfig.from_address = shop@example.com (from the application)" in done.stdout
    assert f"{sink.host} port {sink.port}, security none" in done.stdout


@pytest.mark.parametrize("command", [["check"], ["topics", "create"], ["dlt", "list"], ["worker"]])
def test_a_file_of_certificates_that_cannot_be_used_is_named(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    given = {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{free_port()}", "KAFKA_WORKER_FROM_ADDRESS": "a@example.com"}
    given |= {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(file),
        "KAFKA_WORKER_MAIL_FOLDER": str(tmp_path),
    }
    done = run(*command, **given)
    assert done.returncode == 2
    assert f"the file {json.dumps(str(file))} of ssl_cafile cannot be used" in done.stdout + done.stderr


def test_a_property_that_does_not_exist_is_named_without_its_value(broker: EmbeddedBroker) -> None:
    given = variables(broker) | {"KAFKA_WORKER_CONSUMER_OPTIONS": '{"ssl.key.pasword": "sesame"}'}
    done = run("dlt", "list", **given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert 'no property "ssl.key.pasword"' in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize("command", [["check"], ["topics", "create"], ["dlt", "list"]])
def test_a_kafka_that_is_away_is_named(command: list[str], sink: SmtpSink) -> None:
    address = f"{HOST}:{free_port()}"
    given = {"KAFKA_BOOTSTRAP_SERVERS": address, "KAFKA_WORKER_FROM_ADDRESS": "a@example.com"}
    done = run(*command, **given, SMTP_HOST=HOST, SMTP_PORT=str(sink.port), SMTP_SECURITY="none")
    said = done.stdout if command == ["check"] else done.stderr
    assert done.returncode == (2 if command == ["check"] else 1)
    assert f"cannot connect to Kafka at {address}" in said
    assert "check that Kafka runs" in said


def test_topics_are_created_once(kafka: Kafka) -> None:
    topic = f"mails-{uuid.uuid4()}"
    names = (topic, f"{topic}-dlt")
    given = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_EMAIL_TOPIC": topic}
    first = run("topics", "create", "--partitions", "2", **given)
    assert first.stdout == "".join(f"{name}: created\n" for name in names), first.stderr
    second = run("topics", "create", **given)
    assert second.stdout == "".join(f"{name}: was there already\n" for name in names), second.stderr
    assert [len(leaders(kafka.bootstrap_servers, name)) for name in names] == [2, 2]


def test_render_shows_the_mail_in_each_form(tmp_path: Path) -> None:
    data = tmp_path / "event.json"
    data.write_text('{"username": "Grace", "link": "https://example.com/v"}')
    assert "https://example.com/v" in run("render", "verification", "--data", str(data)).stdout
    assert "<html" in run("render", "welcome", "--format", "html").stdout
    assert "Message-ID" in run("render", "welcome", "--format", "eml").stdout
    wrong = run("render", "wellcome")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "there is no template wellcome" in wrong.stderr


def store(broker: EmbeddedBroker, count: int, replays: str = "0") -> list[StoredRecord]:
    """Dead letters, as a worker makes them."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(count):
        reason = "template" if number % 2 else "permanent"
        headers = [("ce_id", f"e{number}"), ("ce_type", "welcome"), ("x", b"\xff"), ("none", None)]
        headers += [("dlt-topic", "email-events"), ("dlt-reason", reason), ("dlt-replays", replays)]
        producer.produce("email-events-dlt", key=b"ada@example.com", value=f"v{number}".encode(), headers=headers)
        producer.flush(10)
    return broker.records("email-events-dlt")


def test_dead_letters_are_shown_replayed_and_dropped_once(broker: EmbeddedBroker) -> None:
    store(broker, 4)
    given = variables(broker)

    listed = run("dlt", "list", **given)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["0:0", "0:1", "0:2", "0:3"], listed.stderr
    assert "ada@" not in listed.stdout + run("dlt", "show", **given).stdout
    assert "key = ada@example.com" in run("dlt", "show", "--offset", "1", "--show-personal-data", **given).stdout

    assert (
        "2 dead letters would be replayed" in run("dlt", "replay", "--reason", "template", "--dry-run", **given).stderr
    )
    assert broker.records("email-events") == []
    assert "2 dead letters replayed" in run("dlt", "replay", "--reason", "template", **given).stderr
    replayed = broker.records("email-events")
    assert [(record.key, record.headers["ce_id"], record.headers["dlt-replays"]) for record in replayed] == [
        ("ada@example.com", "e1", "1"),
        ("ada@example.com", "e3", "1"),
    ]
    assert [name for name in replayed[0].headers if name.startswith("dlt-")] == ["dlt-replays"]

    assert [line.split()[0] for line in run("dlt", "list", **given).stdout.splitlines()] == ["0:0", "0:2"]
    assert "1 dead letter dropped" in run("dlt", "drop", "--event-id", "e0", **given).stderr
    assert [line.split()[0] for line in run("dlt", "list", **given).stdout.splitlines()] == ["0:2"]


def test_letters_that_were_replayed_too_often_stay(broker: EmbeddedBroker) -> None:
    store(broker, 1, replays="3")
    assert "0 dead letters replayed, 1 left" in run("dlt", "replay", **variables(broker)).stderr
    assert broker.records("email-events") == []
    assert "1 dead letter replayed, 0 left" in run("dlt", "replay", "--max-replays", "4", **variables(broker)).stderr
    (record,) = broker.records("email-events")
    assert record.headers["dlt-replays"] == "4"


def test_a_closed_pipe_is_no_error(broker: EmbeddedBroker) -> None:
    store(broker, 1)
    command = f"{' '.join(COMMAND)} dlt list | true; exit ${{PIPESTATUS[0]}}"
    given = {**os.environ, **variables(broker)}
    done = subprocess.run(["bash", "-c", command], env=given, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


CHILD = """
import asyncio, os, sys, time, pathlib
from kafka_email import EmailPublisher, kafka_manager

async def main():
    await kafka_manager.start()
    await EmailPublisher().publish_welcome_email("ada@example.com", "Ada")
    await kafka_manager.stop()

asyncio.run(main())
while not list(pathlib.Path("mails").glob("*.eml")):
    time.sleep(0.02)
sys.exit(5)
"""


def test_dev_shows_the_mails_of_a_command_and_passes_its_exit_code_on(tmp_path: Path) -> None:
    tmp_path.joinpath("child.py").write_text(CHILD)
    done = run("dev", "--", sys.executable, "child.py", cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert "To: ada@example.com" in done.stdout
    assert len(list(tmp_path.joinpath("mails").glob("*.eml"))) == 1


def test_a_command_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    done = run("dev", "--log-level", "error", "--", "absent-command", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "Error: cannot run absent-command: No such file or directory\n")
