"""How a client without an event loop is used: as in `loads.py`, with threads in the place of coroutines."""

import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from benches.events import events_from
from benches.loads import DRAIN_S, Result, Tally

Publish = Callable[..., Any]
Settle = Callable[[], Any]


def threads(publish: Publish, _: Settle, threads: int, warm_up_s: float, window_s: float) -> Result:
    """Threads that each publish one event after the other, and wait for each."""
    tallies = [Tally() for _ in range(threads)]

    def one_by_one(tally: Tally, start: int) -> None:
        events = events_from(start)
        while not tally.stopped:
            try:
                publish(*next(events))
            except Exception as error:
                tally.failed(error)
                time.sleep(0.01)
            else:
                tally.successes += 1

    publish(*next(events_from(0)))  # may wait for a connection and for what is imported late
    running = _started(one_by_one, tallies)
    time.sleep(warm_up_s)
    before, cpu, began = _successes(tallies), time.process_time(), time.perf_counter()
    time.sleep(window_s)
    completed, cpu = _successes(tallies) - before, time.process_time() - cpu
    elapsed = time.perf_counter() - began
    for tally in tallies:
        tally.stopped = True
    _join(running)
    rates = {"per_second": completed / elapsed, "cpu_per_100k": cpu / completed * 100_000 if completed else None}
    return rates | _result(tallies)


def not_awaited(publish: Publish, settle: Settle, events: int) -> Result:
    """One thread that publishes so many events without waiting, and then waits for all of them."""
    publish(*next(events_from(0)))
    settle()
    cpu, began = time.process_time(), time.perf_counter()
    for event in islice(events_from(0), events):
        publish(*event)
    settle()
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - began
    tally = Tally()
    tally.successes = 1 + events
    return {"per_second": events / elapsed, "cpu_per_100k": cpu / events * 100_000} | tally.result()


def paced_threads(publish: Publish, _: Settle, threads: int, rate: int, warm_up_s: float, window_s: float) -> Result:
    """So many publishes a second by threads that take turns and wait; latency counts from the call, as in `paced`."""
    tallies = [Tally() for _ in range(threads)]
    latencies = list[tuple[int, float]]()
    count = int(rate * (warm_up_s + window_s))
    publish(*next(events_from(0)))
    start = time.perf_counter()

    def in_turn(tally: Tally, first: int) -> None:
        events = events_from(first)
        for number in range(first, count, threads):
            event = next(events)
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
            began = time.perf_counter()
            try:
                publish(*event)
            except Exception as error:
                tally.failed(error)
            else:
                latencies.append((number, round((time.perf_counter() - began) * 1000, 3)))
                tally.successes += 1

    _join(_started(in_turn, tallies))
    measured = [latency for number, latency in latencies if number >= rate * warm_up_s]
    return {"latencies_ms": measured} | _result(tallies)


LOADS: dict[str, Callable[..., Result]] = {load.__name__: load for load in (threads, not_awaited, paced_threads)}


def _started(work: Callable[[Tally, int], None], tallies: list[Tally]) -> list[threading.Thread]:
    """A thread for each tally, because threads that count in one would miscount."""
    started = [threading.Thread(target=work, args=(tally, n), daemon=True) for n, tally in enumerate(tallies)]
    for thread in started:
        thread.start()
    return started


def _join(running: list[threading.Thread]) -> None:
    """Waits for what is under way.

    Raises:
        TimeoutError: It does not end.
    """
    deadline = time.monotonic() + DRAIN_S
    for thread in running:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            raise TimeoutError(f"not acknowledged within {DRAIN_S:.0f} s")


def _successes(tallies: list[Tally]) -> int:
    return sum(tally.successes for tally in tallies)


def _result(tallies: list[Tally]) -> Result:
    """The sum of the counters, and of the publish that came first."""
    total = Tally()
    total.successes = 1 + _successes(tallies)
    total.failures = sum(tally.failures for tally in tallies)
    total.first_error = next((tally.first_error for tally in tallies if tally.first_error), None)
    return total.result()
