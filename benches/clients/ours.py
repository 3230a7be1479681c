"""kafka-email."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from kafka_email import EmailPublisher, KafkaConfig, kafka_manager


@asynccontextmanager
async def connected(servers: str, topic: str, **settings: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: the fields of `KafkaConfig`."""
    await kafka_manager.start(KafkaConfig(bootstrap_servers=servers, email_topic=topic, **settings))
    yield EmailPublisher().publish_verification_email
    await kafka_manager.stop()
