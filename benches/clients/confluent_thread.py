"""confluent-kafka's `Producer` with the Pydantic model, and a thread that polls it and wakes the loop once a poll."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka import KafkaException, Producer

from benches.clients.payload import encoded

POLL_S = 0.1


@asynccontextmanager
async def connected(
    servers: str, topic: str, properties: dict[str, Any]
) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: librdkafka's properties."""
    producer = Producer({"bootstrap.servers": servers, **properties})
    loop = asyncio.get_running_loop()
    reports: list[tuple[asyncio.Future[None], Any]] = []
    ended = threading.Event()

    def poll() -> None:
        nonlocal reports
        while not ended.is_set():
            producer.poll(POLL_S)
            if reports:
                settled, reports = reports, []
                loop.call_soon_threadsafe(_settle, settled)

    def publish(email: str, username: str, link: str) -> Awaitable[None]:
        future: asyncio.Future[None] = loop.create_future()

        def delivered(error: Any, _: Any) -> None:
            reports.append((future, error))

        producer.produce(topic, encoded(email, username, link), email.encode(), on_delivery=delivered)
        return future

    thread = threading.Thread(target=poll)
    thread.start()
    yield publish
    ended.set()
    await asyncio.to_thread(thread.join)
    await asyncio.to_thread(producer.flush)


def _settle(reports: list[tuple["asyncio.Future[None]", Any]]) -> None:
    for future, error in reports:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(error))
