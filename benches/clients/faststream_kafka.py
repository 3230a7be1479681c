"""FastStream's `KafkaBroker`, with the Pydantic model."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from faststream.kafka import KafkaBroker

from benches.clients.payload import checked


@asynccontextmanager
async def connected(servers: str, topic: str, **settings: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: the arguments of `KafkaBroker`."""
    broker = KafkaBroker(servers, acks="all", log_level=logging.WARNING, **settings)

    async def publish(email: str, username: str, link: str) -> None:
        await broker.publish(checked(email, username, link), topic, key=email.encode())

    async with broker:
        yield publish
