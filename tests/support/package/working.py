"""Delivery workers between an embedded broker and an SMTP sink."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from kafka_email import EmailPublisher, KafkaConfig, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker, ReceivedMail, SmtpSink, StoredRecord
from kafka_email.worker import SmtpConfig, Worker, WorkerConfig
from support.package.embedded import TOPIC, config_for

SENDER = "noreply@example.com"
DEAD_LETTERS = f"{TOPIC}-dlt"
SECONDS = 15.0


def worker_config(**settings: Any) -> WorkerConfig:
    """A configuration that retries soon."""
    defaults: dict[str, Any] = {"from_address": SENDER, "retry_base_s": 0.05}
    return WorkerConfig(**{**defaults, **settings})


def smtp_config(sink: SmtpSink, **settings: Any) -> SmtpConfig:
    """A configuration that leads to the sink, without TLS."""
    return SmtpConfig(**{"host": sink.host, "port": sink.port, "security": "none", **settings})


@dataclass(frozen=True)
class Shop:
    """An application whose mails a worker delivers."""

    broker: EmbeddedBroker
    sink: SmtpSink

    @property
    def kafka(self) -> KafkaConfig:
        """Leads to the broker."""
        return config_for(self.broker)

    def worker(self, smtp: Mapping[str, Any] | None = None, **settings: Any) -> Worker:
        """A worker that is not started yet."""
        return Worker(worker_config(**settings), kafka=self.kafka, smtp=smtp_config(self.sink, **(smtp or {})))

    async def mails(self, count: int) -> list[ReceivedMail]:
        """The mails of the sink, when there are `count` of them."""
        mails = await asyncio.to_thread(self.sink.wait_for, count, SECONDS)
        assert len(mails) == count
        return mails

    async def dead_letters(self, count: int) -> list[StoredRecord]:
        """The dead letters, when there are `count` of them."""
        letters = await asyncio.to_thread(self.broker.wait_for, count, DEAD_LETTERS, SECONDS)
        assert len(letters) == count
        return letters

    def produce(
        self,
        value: bytes | None,
        headers: Mapping[str, str] | None = None,
        key: bytes | None = None,
        age_s: float = 0.0,
    ) -> None:
        """Stores a record of another program."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap_servers})
        timestamp_ms = int((time.time() - age_s) * 1000)
        producer.produce(TOPIC, value, key, headers=dict(headers or {}), timestamp=timestamp_ms)
        assert producer.flush(SECONDS) == 0


@asynccontextmanager
async def shop() -> AsyncIterator[Shop]:
    """A broker, a sink, and the started manager; the worker comes from the test."""
    async with EmbeddedBroker() as broker, SmtpSink() as sink:
        broker.create_topic(TOPIC, 2)
        await kafka_manager.start(config_for(broker))
        try:
            yield Shop(broker, sink)
        finally:
            await kafka_manager.stop(0.1)


async def notify(recipient: str, username: str = "Ann", **options: Any) -> RecordMetadata:
    """Publishes a notification."""
    return await EmailPublisher().publish_notification_email(
        recipient, username, "https://shop.example.com/n", **options
    )
