"""How a client is used: each load publishes, and returns what it measured as plain numbers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benches.events import events_from

Publish = Callable[..., Awaitable[Any]]
Result = dict[str, Any]

DRAIN_S = 40.0
"""How long what is under way at the end may take."""


class Tally:
    """What became of the publishes so far."""

    def __init__(self) -> None:
        self.successes = 0
        self.failures = 0
        self.first_error: str | None = None
        self.stopped = False

    def failed(self, error: BaseException) -> None:
        """Counts a failure and keeps the first one's text."""
        self.failures += 1
        self.first_error = self.first_error or f"{type(error).__name__}: {error}"

    def result(self) -> Result:
        """The counters, which the topic's end offsets have to confirm."""
        return {"successes": self.successes, "failures": self.failures, "first_error": self.first_error}


async def closed(publish: Publish, at_once: int, warm_up_s: float, window_s: float) -> Result:
    """Coroutines that each publish one event after the other."""
    tally = Tally()
    async with _running(tally, (_one_by_one(publish, tally, number) for number in range(at_once))):
        result = await _window(tally, warm_up_s, asyncio.sleep(window_s))
    return result | tally.result()


async def batches(_: Publish, batches: int, size: int, warm_up_s: float, window_s: float) -> Result:
    """Coroutines that each call `publish_many` of kafka-email, one batch after the other."""
    tally = Tally()
    async with _running(tally, (_batch_by_batch(tally, number, size) for number in range(batches))):
        result = await _window(tally, warm_up_s, asyncio.sleep(window_s))
    return result | tally.result()


async def fairness(publish: Publish, at_once: int, warm_up_s: float, window_s: float) -> Result:
    """How late another coroutine, which sleeps 1 ms again and again, gets its turn during `closed`."""
    tally, late = Tally(), list[float]()
    async with _running(tally, (_one_by_one(publish, tally, number) for number in range(at_once))):
        result = await _window(tally, warm_up_s, _sleep_again_and_again(late, window_s))
    late.sort()
    lateness = {"late_p99_ms": late[int(len(late) * 0.99)], "late_max_ms": late[-1]}
    return result | lateness | tally.result()


async def paced(publish: Publish, rate: int, warm_up_s: float, window_s: float) -> Result:
    """So many publishes a second, whether earlier ones are done or not; latency counts from the call."""
    tally, latencies, tasks = Tally(), list[float](), set[asyncio.Task[None]]()

    async def timed(event: tuple[str, str, str]) -> None:
        began = time.perf_counter()
        try:
            await publish(*event)
        except Exception as error:
            tally.failed(error)
        else:
            latencies.append(round((time.perf_counter() - began) * 1000, 3))
            tally.successes += 1

    await timed(next(events_from(0)))
    latencies.clear()
    start = time.perf_counter()
    for number, event in enumerate(islice(events_from(0), int(rate * (warm_up_s + window_s)))):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        task = asyncio.create_task(timed(event))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await _finished(tasks, tally)
    return {"latencies_ms": latencies[int(rate * warm_up_s) :]} | tally.result()


async def burst(publish: Publish, events: int) -> Result:
    """So many publishes started together, one each."""
    tally = Tally()

    async def once(event: tuple[str, str, str]) -> None:
        try:
            await publish(*event)
        except Exception as error:
            tally.failed(error)
        else:
            tally.successes += 1

    began = time.perf_counter()
    await _finished([asyncio.create_task(once(event)) for event in islice(events_from(0), events)], tally)
    return {"per_second": tally.successes / (time.perf_counter() - began)} | tally.result()


async def marathon(publish: Publish, events: int, at_once: int) -> Result:
    """So many events by `closed`, and the memory after the first tenth and at the end."""
    tally, began = Tally(), time.perf_counter()
    async with _running(tally, (_one_by_one(publish, tally, number) for number in range(at_once))):
        await _reached(tally, events // 10)
        first = memory_mb("VmRSS")
        await _reached(tally, events)
        last, elapsed = memory_mb("VmRSS"), time.perf_counter() - began
    return {"rss_first_mb": first, "rss_last_mb": last, "per_second": events / elapsed} | tally.result()


LOADS: dict[str, Callable[..., Awaitable[Result]]] = {
    load.__name__: load for load in (closed, batches, fairness, paced, burst, marathon)
}


def memory_mb(field: str) -> float:
    """`VmRSS` or `VmHWM` (its peak) of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


@asynccontextmanager
async def _running(tally: Tally, work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs the coroutines during the block; then lets each end the publish that it has under way."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
        tally.stopped = True
        await _finished(tasks, tally)
    finally:
        for task in tasks:
            task.cancel()


async def _finished(tasks: Collection["asyncio.Task[None]"], tally: Tally) -> None:
    """Waits for what is under way; what does not end in time has failed."""
    if not tasks:
        return
    done, pending = await asyncio.wait(tasks, timeout=DRAIN_S)
    for task in done:
        task.result()
    for task in pending:
        task.cancel()
        tally.failed(TimeoutError(f"not acknowledged within {DRAIN_S:.0f} s"))


async def _one_by_one(publish: Publish, tally: Tally, start: int) -> None:
    events = events_from(start)
    while not tally.stopped:
        try:
            await publish(*next(events))
        except Exception as error:
            tally.failed(error)
            await asyncio.sleep(0.01)
        else:
            tally.successes += 1


async def _batch_by_batch(tally: Tally, start: int, size: int) -> None:
    from kafka_email import EmailPublisher

    publisher, names = EmailPublisher(), ("recipient", "username", "link")
    events = [
        {"email_type": "verification", **dict(zip(names, event, strict=True))}
        for event in islice(events_from(start), size)
    ]
    while not tally.stopped:
        for result in await publisher.publish_many(events):
            if isinstance(result, BaseException):
                tally.failed(result)
            else:
                tally.successes += 1


async def _window(tally: Tally, warm_up_s: float, window: Coroutine[Any, Any, None]) -> Result:
    await _reached(tally, 1)  # the first publish may wait for a connection and for what is imported late
    await asyncio.sleep(warm_up_s)
    before, cpu, began = tally.successes, time.process_time(), time.perf_counter()
    await window
    completed, cpu, elapsed = tally.successes - before, time.process_time() - cpu, time.perf_counter() - began
    return {"per_second": completed / elapsed, "cpu_per_100k": cpu / completed * 100_000 if completed else None}


async def _sleep_again_and_again(late: list[float], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before) * 1000 - 1)


async def _reached(tally: Tally, count: int) -> None:
    while tally.successes < count:
        if tally.failures:
            raise RuntimeError(tally.first_error)
        await asyncio.sleep(0.02)
