"""A FastAPI application under uvicorn publishes to a real Kafka; consumers that are not ours read what it wrote."""

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, EmailStr

from kafka_email import EmailPublisher, KafkaConfig, kafka_manager
from support.kafka.cluster import Kafka
from support.ports import HOST, free_port


class OriginalPayload(BaseModel):
    """The schema that a consumer of the original package holds."""

    email_type: str
    recipient: EmailStr
    username: str
    link: str
    timestamp: datetime
    metadata: dict[str, Any]


class Registration(BaseModel):
    """Body of a request."""

    email: str
    username: str


def application(config: KafkaConfig, topic: str) -> FastAPI:
    """The application of the migration guide."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await kafka_manager.start(config)
        yield
        await kafka_manager.stop()

    app = FastAPI(lifespan=lifespan)

    @app.post("/register")
    async def register(body: Registration) -> dict[str, int]:
        link = f"https://shop.example.com/verify?token={body.username}"
        stored = await EmailPublisher(topic).publish_verification_email(
            body.email, body.username, link, {"lang": "de"}, headers={"request-id": "r-1"}
        )
        return {"partition": stored.partition, "offset": stored.offset}

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"kafka": kafka_manager.is_connected}

    return app


@contextmanager
def served(app: FastAPI, loop: str) -> Iterator[str]:
    """The application under uvicorn in a thread of its own; yields its URL."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, loop=loop, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "uvicorn ended"
            assert time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.02)
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_application_publishes_what_consumers_of_the_original_read(kafka: Kafka, topic: str, loop: str) -> None:
    people = [(f"user{n % 7}@gmail.com", f"Jürgen {n}") for n in range(60)]
    config = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers)
    with served(application(config, topic), loop) as url, httpx.Client(base_url=url) as client:
        assert client.get("/health").json() == {"kafka": True}
        answers = [client.post("/register", json={"email": e, "username": u}).json() for e, u in people]

    received = kafka.consume(topic, len(people))
    assert sorted((a["partition"], a["offset"]) for a in answers) == [(r.partition, r.offset) for r in received]
    for record in received:
        value = json.loads(record.value or b"")
        payload = OriginalPayload.model_validate(value)
        assert record.value == json.dumps(value).encode()
        assert list(value) == ["email_type", "recipient", "username", "link", "timestamp", "metadata"]
        assert record.key == payload.recipient.encode()
        assert payload.metadata == {"lang": "de"}
        assert payload.timestamp.tzinfo is None
        headers = dict(record.headers)
        assert set(headers) == {"ce_specversion", "ce_id", "ce_type", "ce_source", "content-type", "request-id"}
        assert headers["ce_type"] == b"verification"
        assert headers["request-id"] == b"r-1"

    for email in {email for email, _ in people}:
        sent = [username for address, username in people if address == email]
        own = [r for r in received if r.key == email.encode()]
        assert len({r.partition for r in own}) == 1
        assert [json.loads(r.value or b"")["username"] for r in own] == sent


async def test_aiokafka_reads_the_same(kafka: Kafka, topic: str) -> None:
    await kafka_manager.start(KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, email_topic=topic))
    try:
        stored = await EmailPublisher().publish_welcome_email("Ann <ann@gmail.com>", "Ann")
    finally:
        await kafka_manager.stop()
    (record,) = await kafka.consume_async(topic, 1)
    assert (record.partition, record.offset) == (stored.partition, stored.offset)
    assert record.timestamp_ms == stored.timestamp_ms
    assert record.key == b"Ann <ann@gmail.com>"
    value = json.loads(record.value or b"")
    assert (value["recipient"], value["link"], value["metadata"]) == ("ann@gmail.com", "", {})
    assert dict(record.headers)["ce_id"] == stored.event_id.encode()
