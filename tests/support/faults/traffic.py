"""A steady stream of numbered events for many recipients, published through the public API while something fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from kafka_email import EmailPublisher, KafkaConfig, KafkaError, RecordMetadata, kafka_manager
from support.package.embedded import eventually

RECIPIENTS = 50
RATE = 200.0
"""Events a second."""
SLACK_S = 1.5
"""How far beyond its deadline a publish may end: the loop and the brokers share two cores."""
_TICK_S = 0.05


@dataclass(frozen=True)
class Attempt:
    """What became of one publish."""

    number: int
    seconds: float
    result: RecordMetadata | KafkaError


def recipient(number: int) -> str:
    """Who gets the event: two in a row have the same one, so that one key has more than one event under way."""
    return f"user{number // 2 % RECIPIENTS}@gmail.com"


class Traffic:
    """Publishes in the order of the numbers, and never waits for one event before it publishes the next.

    An asynchronous context manager: at the end of the block it stops publishing and waits for what is under way.
    """

    def __init__(self, topic: str, deadline_s: float, tell: Callable[[Attempt], None] | None = None) -> None:
        """Takes the topic, the manager's `request_timeout_ms` in seconds, and who hears of ends, if not `attempts`."""
        self.topic, self.deadline_s = topic, deadline_s
        self.attempts: list[Attempt] = []
        """Those that ended, in the order of their ends."""
        self.issued = 0
        """How many were published so far; the next one has this number."""
        self._tell = tell or self.attempts.append
        self._publisher = EmailPublisher(topic)
        self._under_way: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []
        self._newest_stored = -1

    @property
    def hung(self) -> int:
        """How many have not ended; after the block, how many never did."""
        return len(self._under_way)

    async def __aenter__(self) -> "Traffic":
        self._issuing = asyncio.create_task(self._issue())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._issuing.cancel()
        with suppress(asyncio.CancelledError):
            await self._issuing
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self.deadline_s + SLACK_S)
        for task in self._under_way:
            task.remove_done_callback(self._end)
            task.cancel()
        for broken in self._broken:
            raise broken

    async def flows(self, seconds: float) -> None:
        """Waits until an event that is published from now on is acknowledged.

        Raises:
            AssertionError: none was in time.
        """
        first = self.issued
        await eventually(lambda: self._newest_stored >= first, seconds)

    async def _issue(self) -> None:
        began = time.monotonic()
        while True:
            for _ in range(int((time.monotonic() - began) * RATE) - self.issued):
                task = asyncio.create_task(self._publish(self.issued))
                self.issued += 1
                self._under_way.add(task)
                task.add_done_callback(self._end)
            await asyncio.sleep(_TICK_S)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (broken := task.exception()) is not None:
            self._broken.append(broken)

    async def _publish(self, number: int) -> None:
        began = time.monotonic()
        result: RecordMetadata | KafkaError
        try:
            result = await self._publisher.publish_notification_email(
                recipient(number), "Ann", "https://x.example/", {"number": number}
            )
            self._newest_stored = max(self._newest_stored, number)
        except KafkaError as error:
            result = error
        self._tell(Attempt(number, time.monotonic() - began, result))


@asynccontextmanager
async def publishing(
    bootstrap_servers: str, topic: str, tell: Callable[[Attempt], None] | None = None, **settings: Any
) -> AsyncIterator[Traffic]:
    """Starts the manager, with default settings apart from those given, and lets traffic flow through it.

    At the end of the block every publish has ended, and the manager is stopped.
    """
    config = KafkaConfig(bootstrap_servers=bootstrap_servers, email_topic=topic, **settings)
    await kafka_manager.start(config)
    try:
        async with Traffic(topic, config.request_timeout_ms / 1000, tell) as traffic:
            await traffic.flows(config.request_timeout_ms / 1000)
            yield traffic
    finally:
        report = await kafka_manager.stop()
    assert report.failed == 0, "nothing was under way any more"


async def apart(work: Callable[[], object]) -> None:
    """Runs what blocks, such as the start of a node, while the traffic goes on."""
    await asyncio.to_thread(work)
