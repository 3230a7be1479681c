"""confluent-kafka's `AIOProducer`, with the Pydantic model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka.aio import AIOProducer

from benches.clients.payload import encoded


@asynccontextmanager
async def connected(
    servers: str, topic: str, properties: dict[str, Any], **settings: Any
) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: librdkafka's properties, and the arguments of `AIOProducer`."""
    producer = AIOProducer({"bootstrap.servers": servers, **properties}, **settings)

    async def publish(email: str, username: str, link: str) -> None:
        await (await producer.produce(topic, value=encoded(email, username, link), key=email.encode()))

    yield publish
    await producer.close()
