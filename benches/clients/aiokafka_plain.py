"""aiokafka alone: nothing is checked, the value is what `json.dumps` makes of a dictionary."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from aiokafka import AIOKafkaProducer


@asynccontextmanager
async def connected(servers: str, topic: str, **settings: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: the arguments of `AIOKafkaProducer`."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", **settings)

    async def publish(email: str, username: str, link: str) -> None:
        event = {
            "email_type": "verification",
            "recipient": email,
            "username": username,
            "link": link,
            "timestamp": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
            "metadata": {},
        }
        await producer.send_and_wait(topic, json.dumps(event).encode(), key=email.encode())

    async with producer:
        yield publish
