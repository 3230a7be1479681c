"""Whether what the manager says of the cluster follows the cluster."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kafka_email import KafkaHealth, kafka_manager
from support.package.embedded import eventually

TOLD_WITHIN_S = 10.0
"""What the contract gives `is_connected`, both ways."""
HEALTH_WITHIN_S = 15.0


async def told(connected: bool) -> float:
    """Waits until `is_connected` says so, without asking the cluster; returns how long it took, in seconds."""
    return await eventually(lambda: kafka_manager.is_connected is connected, TOLD_WITHIN_S)


async def health_becomes(holds: Callable[[KafkaHealth], bool]) -> KafkaHealth:
    """Asks the cluster until its health is as expected; returns the report.

    Raises:
        AssertionError: it was not in time; with the last report.
    """
    deadline = time.monotonic() + HEALTH_WITHIN_S
    while not holds(health := await kafka_manager.health()):
        assert time.monotonic() < deadline, f"after {HEALTH_WITHIN_S} s: {health}"
        await asyncio.sleep(0.2)
    return health


@asynccontextmanager
async def always_connected() -> AsyncIterator[None]:
    """Checks that `is_connected` never turns false meanwhile: the cluster as a whole is there."""
    moments: list[float] = []
    began = time.monotonic()

    async def look() -> None:
        while True:
            if not kafka_manager.is_connected:
                moments.append(round(time.monotonic() - began, 2))
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
    assert not moments, f"is_connected was false at {moments[0]} s, {len(moments)} looks in all, until {moments[-1]} s"
