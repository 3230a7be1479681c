"""The package connected to an embedded broker, and a look at what it leaves behind."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kafka_email import EmailPublisher, KafkaConfig, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker

ADDRESS = "ann@gmail.com"
TOPIC = "email-events"


@asynccontextmanager
async def started(**settings: Any) -> AsyncIterator[EmbeddedBroker]:
    """Starts the manager with an embedded broker of its own; stops both at the end, whatever happened."""
    async with EmbeddedBroker() as broker:
        try:
            await kafka_manager.start(config_for(broker, **settings))
            yield broker
        finally:
            broker.round_trip_ms = 0
            await kafka_manager.stop(0.1)


def config_for(broker: EmbeddedBroker, **settings: Any) -> KafkaConfig:
    """A configuration that leads to the broker, with a deadline of 3 s unless `settings` say otherwise."""
    return KafkaConfig(**{"bootstrap_servers": broker.bootstrap_servers, "request_timeout_ms": 3000, **settings})


async def publish(username: str = "Ann") -> RecordMetadata:
    """Publishes one event, for `ADDRESS`."""
    return await EmailPublisher().publish_welcome_email(ADDRESS, username)


def publishes(count: int) -> list["asyncio.Task[RecordMetadata]"]:
    """Tasks that publish one event each, with the usernames 0, 1, 2 ... in that order."""
    return [asyncio.create_task(publish(str(number))) for number in range(count)]


def usernames(broker: EmbeddedBroker) -> list[str]:
    """Who is in the topic of the e-mail events, by partition and offset."""
    return [record.value["username"] for record in broker.records(TOPIC)]


def native_threads() -> Counter[str]:
    """Names of the threads of this process that belong to the package or to librdkafka, cut off at 15 characters."""
    names: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
        except OSError:  # it has just ended
            continue
        if name.startswith(("kafka-email", "rdk:")):
            names[name] += 1
    return names


def open_files() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def eventually(holds: Callable[[], bool], seconds: float) -> float:
    """Waits until something holds and returns how long it took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"{holds} did not hold within {seconds} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """Measures meanwhile how long the loop is blocked at a time, in seconds."""
    pauses = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - before)

    ticker = asyncio.create_task(tick())
    try:
        yield pauses
    finally:
        ticker.cancel()


def in_threads(count: int, run: Callable[[], None]) -> None:
    """Runs a function in several threads at once; raises what one of them raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def work() -> None:
        barrier.wait()
        try:
            run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
