"""aiokafka alone: nothing is checked, the value is what `json.dumps` makes of a dictionary."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from benches.clients.payload import unchecked


@asynccontextmanager
async def connected(servers: str, topic: str, **settings: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: the arguments of `AIOKafkaProducer`."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", **settings)

    async def publish(email: str, username: str, link: str) -> None:
        await producer.send_and_wait(topic, unchecked(email, username, link), key=email.encode())

    async with producer:
        yield publish
