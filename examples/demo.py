"""Shows the example application at work: HTTP requests in, events in Kafka, mails out, all checked.

Uses a broker inside the process, or the Kafka that KAFKA_BOOTSTRAP_SERVERS names. SERVE=1 leaves the application
running.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from fastapi_app import app

from kafka_email import kafka_config
from kafka_email.testing import EmbeddedBroker, SmtpSink
from kafka_email.worker import SmtpConfig, Worker, WorkerConfig

ADA, GRACE = "ada@example.com", "grace.hopper@example.com"
PATIENCE_S = 15.0


class DemoError(Exception):
    """Something is not as expected; the text says what."""


def main() -> None:
    with kafka() as kafka_is:
        topic = TopicReader()
        with (
            delivering() as sink,
            serving() as url,
            httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as client,
        ):
            show_heading("A web application that asks for e-mails")
            print(f"  Kafka        {kafka_is}\n  application  {url}")
            event_ids = show_requests(client)
            show_events(topic, event_ids)
            show_health(client)
            show_mails(sink, event_ids)
            show_heading("All as expected", GREEN)
            if os.environ.get("SERVE"):
                serve_until_interrupted(url)


def show_requests(client: httpx.Client) -> list[str]:
    """Make the requests; returns the ids of the events they led to."""
    show_heading("Requests")
    registered = request(client, "POST", "/register", 201, {"email": ADA, "username": "Ada"})
    also_registered = request(client, "POST", "/register", 201, {"email": GRACE, "username": "Grace"})
    reset = request(client, "POST", "/password-reset", 202, {"email": ADA})
    request(client, "POST", "/register", 422, {"email": "ada@localhost", "username": "Ada"})
    return [answer["event_id"] for answer in (registered, also_registered, reset)]


def request(client: httpx.Client, method: str, path: str, expected: int, body: object = None) -> Any:
    response = client.request(method, path, json=body)
    sent = "" if body is None else json.dumps(body)
    print(f"  {' '.join(filter(None, (method, path, sent)))} {paint(f'-> {response.status_code}', GREEN)}")
    expect(response.status_code == expected, f"{method} {path} answered {response.status_code}, not {expected}")
    return response.json()


def show_events(topic: "TopicReader", event_ids: list[str]) -> None:
    """Read the events back as any consumer would, and compare them with the requests."""
    show_heading(f"Events in the topic {kafka_config.email_topic}")
    records = topic.read(event_ids)
    for record in records.values():
        show_event(record)
    ada, grace, reset = (records[event_id] for event_id in event_ids)
    expect([key_of(record) for record in (ada, grace, reset)] == [ADA, GRACE, ADA], "a key is not the address")
    expect(ada.partition() == reset.partition(), "events of one recipient are in two partitions")
    expect(offset_of(ada) < offset_of(reset), "events of one recipient are out of order")
    types = [value_of(record)["email_type"] for record in (ada, grace, reset)]
    expect(types == ["verification", "verification", "password_reset"], f"unexpected types: {types}")


def show_event(record: Message) -> None:
    print(f"  partition {record.partition()}, offset {record.offset()}, key {paint(key_of(record), BOLD)}")
    for name, value in headers_of(record).items():
        print(f"    {paint(f'{name}: {value}', DIM)}")
    print("    " + json.dumps(value_of(record), indent=2).replace("\n", "\n    ") + "\n")


def show_mails(sink: SmtpSink, event_ids: list[str]) -> None:
    """Wait until the worker has delivered the mails, and show the first."""
    show_heading("Mails that the worker delivered")
    deadline = time.monotonic() + PATIENCE_S
    while not set(event_ids) <= (mails := {mail.event_id: mail for mail in sink.mails}).keys():
        expect(time.monotonic() < deadline, f"{len(mails)} mails arrived")
        time.sleep(0.05)
    for event_id in event_ids:
        mail = mails[event_id]
        print(f"  to {paint(', '.join(mail.recipients), BOLD)}: {mail.subject}")
    expect(mails[event_ids[0]].recipients == (ADA,), "a mail went to somebody else")
    print("\n    " + (mails[event_ids[0]].text or "").replace("\n", "\n    "))


def show_health(client: httpx.Client) -> None:
    show_heading("Health")
    health = request(client, "GET", "/health", 200)
    print("    " + json.dumps(health, indent=2).replace("\n", "\n    "))
    expect(health["checks"]["kafka"]["healthy"] is True, "the application does not call Kafka healthy")


class TopicReader:
    """Reads what is written to the topic of the e-mail events from now on."""

    def __init__(self) -> None:
        expect(kafka_config.security_protocol == "PLAINTEXT", "the demo reads from listeners without TLS and SASL only")
        servers = kafka_config.bootstrap_servers_string
        settings = {"bootstrap.servers": servers, "group.id": "kafka-email-demo", "log_level": 0}
        self._consumer = Consumer(settings | {"enable.auto.commit": False})
        self._starts = {position.partition: position.offset for position in self._ends()}

    def read(self, event_ids: list[str]) -> dict[str, Message]:
        """Wait for the events of these ids."""
        from_start = [self._position(end.partition) for end in self._ends()]
        self._consumer.assign(from_start)
        found: dict[str, Message] = {}
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < len(event_ids):
            expect(time.monotonic() < deadline, f"{len(found)} of {len(event_ids)} events are in the topic")
            record = self._consumer.poll(0.5)
            if record is not None and record.error() is None and headers_of(record).get("ce_id") in event_ids:
                found[headers_of(record)["ce_id"]] = record
        self._consumer.close()
        return {event_id: found[event_id] for event_id in event_ids}

    def _position(self, partition: int) -> TopicPartition:
        return TopicPartition(kafka_config.email_topic, partition, self._starts.get(partition, 0))

    def _ends(self) -> list[TopicPartition]:
        """Where each partition ends; nothing when there is no such topic yet."""
        topic = kafka_config.email_topic
        try:
            partitions = self._consumer.list_topics(timeout=PATIENCE_S).topics
            numbers = partitions[topic].partitions if topic in partitions else ()
            positions = [TopicPartition(topic, number) for number in numbers]
            return [TopicPartition(topic, at.partition, self._end(at)) for at in positions]
        except KafkaException as error:
            raise DemoError(f"Kafka at {kafka_config.bootstrap_servers_string} does not answer: {error}") from error

    def _end(self, position: TopicPartition) -> int:
        _, end = self._consumer.get_watermark_offsets(position, timeout=PATIENCE_S)
        return int(end)


def headers_of(record: Message) -> dict[str, str]:
    return {str(name): text(value) for name, value in list(record.headers() or [])}


def key_of(record: Message) -> str:
    return text(record.key())


def text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def value_of(record: Message) -> Any:
    return json.loads(record.value() or b"null")


def offset_of(record: Message) -> int:
    return record.offset() or 0


@contextmanager
def kafka() -> Iterator[str]:
    """Let the application use the Kafka of the environment, or else one in this process; yields which."""
    if "KAFKA_BOOTSTRAP_SERVERS" in os.environ:
        yield kafka_config.bootstrap_servers_string
        return
    with EmbeddedBroker() as broker:
        kafka_config.bootstrap_servers = broker.bootstrap_servers.split(",")
        yield f"{kafka_config.bootstrap_servers_string} (embedded in this process)"


@contextmanager
def delivering() -> Iterator[SmtpSink]:
    """Deliver the mails by a worker on an event loop of its own; yields the mail server, which keeps them."""
    with SmtpSink() as sink:
        worker = Worker(
            # Topics that are new are found within a second.
            WorkerConfig(
                from_address="shop@example.com",
                group_id="kafka-email-demo",
                consumer_options={"topic.metadata.refresh.interval.ms": "1000"},
            ),
            kafka=kafka_config,
            smtp=SmtpConfig(host=sink.host, port=sink.port, security="none"),
        )
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(worker.start(), loop).result()
            yield sink
        finally:
            asyncio.run_coroutine_threadsafe(worker.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@contextmanager
def serving() -> Iterator[str]:
    """Serve the application on a free port, in a thread; yields its address."""
    log_level = "info" if os.environ.get("SERVE") else "warning"
    server = uvicorn.Server(uvicorn.Config(app, log_level=log_level))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            expect(thread.is_alive(), "the application did not start; its error is above")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def serve_until_interrupted(url: str) -> None:
    body = json.dumps({"email": ADA, "username": "Ada"})
    show_heading("The application runs until Ctrl-C")
    print(f"  curl -H 'content-type: application/json' -d '{body}' {url}/register")
    reset = json.dumps({"email": ADA})
    print(f"  curl -H 'content-type: application/json' -d '{reset}' {url}/password-reset")
    print(f"  curl {url}/health", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)


BOLD, DIM, GREEN, RED = "1", "2", "32", "31"


def show_heading(heading: str, colour: str = BOLD) -> None:
    print(f"\n{paint(heading, colour)}")


def paint(words: str, colour: str) -> str:
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[{colour}m{words}\033[0m" if wanted else words


if __name__ == "__main__":
    try:
        main()
    except (DemoError, httpx.HTTPError) as error:
        sys.exit(f"{paint('demo failed', RED)}: {error}")
