"""What each stage of an event costs on the event loop's thread, without a broker: `python -m benches.stages`.

The Rust half has its own: `cargo bench --bench stages`.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from kafka_email import EmailPublisher, kafka_manager
from kafka_email._core import Batch

EVENT = ("anna.berg@gmail.com", "Anna Berg", "https://shop.example.com/verify?token=abcdefghijklmnop0123456789")
MAPPING = {"email_type": "verification"} | dict(zip(("recipient", "username", "link"), EVENT, strict=True))
REPEATS, ROUNDS = 50_000, 5


class _Nothing:
    """Stands in for the native producer: done at once."""

    is_connected, is_inherited, outstanding = True, False, 0

    def publish_email(self, *_: Any) -> "_Nothing":
        return self

    def __await__(self) -> Any:
        return iter(())


async def _one_by_one() -> None:
    publish = EmailPublisher().publish_verification_email
    for _ in range(REPEATS):
        await publish(*EVENT)


async def _future_by_future() -> None:
    """What asyncio alone takes for a task that waits for a future of the loop, settled with many others."""
    loop, open_futures = asyncio.get_running_loop(), list[asyncio.Future[None]]()

    async def wait() -> None:
        for _ in range(REPEATS // 1000):
            open_futures.append(loop.create_future())
            await open_futures[-1]

    done = asyncio.gather(*(wait() for _ in range(1000)))
    while not done.done():
        await asyncio.sleep(0)
        settled, open_futures[:] = open_futures[:], []
        for future in settled:
            future.set_result(None)


def _encode_many() -> None:
    Batch(sys.maxsize).extend([MAPPING] * REPEATS, REPEATS)


def _microseconds(work: Callable[[], Any]) -> float:
    """The best of some rounds: everything else is the machine's doing."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best / REPEATS * 1e6


def main() -> None:
    with kafka_manager.replaced_by(_Nothing()):
        facade = _microseconds(lambda: asyncio.run(_one_by_one()))
    print(f"the facade: coroutine, checks, call of the native producer  {facade:.2f} us")
    print(f"validation and encoding, a dictionary of publish_many        {_microseconds(_encode_many):.2f} us")
    future = _microseconds(lambda: asyncio.run(_future_by_future()))
    print(f"for comparison: a task that waits for an asyncio.Future      {future:.2f} us")


if __name__ == "__main__":
    main()
