"""Whatever asyncio does with a coroutine works with a publish, on asyncio's loop, in its debug mode and on uvloop."""

import asyncio
import contextvars
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from kafka_email import AuthorizationError, EmailPublisher, KafkaError, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import ADDRESS, config_for, publish, publishes, usernames

NAME = contextvars.ContextVar("name", default="nobody")


def debugged_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


LOOPS = {"asyncio": asyncio.new_event_loop, "debug mode": debugged_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS.values(), ids=LOOPS.keys())
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None], EmbeddedBroker], None]:
    """Runs a coroutine between `start()` and `stop()`, and fails if the loop has anything to complain of."""
    complaints: list[dict[str, Any]] = []

    async def started(coroutine: Coroutine[Any, Any, None], broker: EmbeddedBroker) -> None:
        await kafka_manager.start(config_for(broker))
        try:
            await publish("first")
            await coroutine
        finally:
            await kafka_manager.stop()

    def run(coroutine: Coroutine[Any, Any, None], broker: EmbeddedBroker) -> None:
        loop = request.param()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        try:
            loop.run_until_complete(started(coroutine, broker))
        finally:
            loop.close()
        assert not complaints

    return run


def test_gather_and_as_completed(run, broker: EmbeddedBroker) -> None:
    async def main() -> None:
        results = await asyncio.gather(*(publish(str(number)) for number in range(20)))
        assert [result.offset for result in results] == list(range(1, 21))
        for completed in asyncio.as_completed(publishes(20)):
            assert isinstance(await completed, RecordMetadata)

    run(main(), broker)


def test_a_time_limit_and_a_shield(run, broker: EmbeddedBroker) -> None:
    async def main() -> None:
        assert isinstance(await asyncio.wait_for(publish("in time"), 20), RecordMetadata)
        broker.round_trip_ms = 200
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(publish("late"), 0.02)
        shielded = asyncio.ensure_future(publish("shielded"))
        outer = asyncio.ensure_future(asyncio.shield(shielded))
        await asyncio.sleep(0.02)
        outer.cancel()
        assert isinstance(await shielded, RecordMetadata)
        broker.round_trip_ms = 0

    run(main(), broker)
    assert usernames(broker) == ["first", "in time", "late", "shielded"]


def test_wait_and_done_callbacks(run, broker: EmbeddedBroker) -> None:
    async def main() -> None:
        called: list[str] = []
        tasks = publishes(5)
        for task in tasks:
            task.add_done_callback(lambda task: called.append(task.result().event_id))
        done, pending = await asyncio.wait(tasks)
        await asyncio.sleep(0)
        assert not pending
        assert sorted(called) == sorted(task.result().event_id for task in done)

    run(main(), broker)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python has task groups since 3.11")
def test_a_task_group(run, broker: EmbeddedBroker) -> None:
    async def fail() -> None:
        await publish("before the failure")
        raise ValueError

    async def failing_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            slow.append(group.create_task(asyncio.sleep(60)))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(publish(str(number))) for number in range(5)]
        assert all(isinstance(task.result(), RecordMetadata) for task in tasks)
        broker.round_trip_ms = 100
        with pytest.raises(Exception, match="TaskGroup"):
            await failing_group()
        broker.round_trip_ms = 0
        assert slow[0].cancelled()

    slow: list[asyncio.Task[None]] = []
    run(main(), broker)


def test_each_task_keeps_its_context(run, broker: EmbeddedBroker) -> None:
    async def named(name: str) -> None:
        NAME.set(name)
        for _ in range(3):
            await publish(name)
            assert NAME.get() == name

    async def main() -> None:
        await asyncio.gather(*(named(str(number)) for number in range(20)))
        assert NAME.get() == "nobody"

    run(main(), broker)


def test_a_task_that_fails_after_its_publish_disturbs_no_other(run, broker: EmbeddedBroker) -> None:
    async def fail(number: int) -> None:
        await publish(str(number))
        if number % 2:
            raise ValueError(number)

    async def main() -> None:
        results = await asyncio.gather(*(fail(number) for number in range(10)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), ValueError] * 5

    run(main(), broker)


def test_an_interrupt_after_a_publish_ends_the_loop_and_loses_no_outcome(broker: EmbeddedBroker) -> None:
    async def interrupted() -> None:
        await publish("interrupted")
        raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(kafka_manager.start(config_for(broker)))
        others = [loop.create_task(publish(str(number))) for number in range(5)]
        task = loop.create_task(interrupted())
        others += [loop.create_task(publish(str(number))) for number in range(5)]
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait([task]))
        results = loop.run_until_complete(asyncio.gather(*others))
        assert all(isinstance(result, RecordMetadata) for result in results)
        with pytest.raises(KeyboardInterrupt):
            task.result()
        loop.run_until_complete(kafka_manager.stop())
    finally:
        loop.close()


def test_many_are_cancelled_after_they_are_queued(run, broker: EmbeddedBroker) -> None:
    async def main() -> None:
        broker.round_trip_ms = 200
        event = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}
        task = asyncio.create_task(EmailPublisher().publish_many([event] * 5000))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        broker.round_trip_ms = 0
        report = await kafka_manager.stop()
        assert report.failed == 0
        assert 0 < report.delivered <= len(usernames(broker)) - 1 <= 5000

    run(main(), broker)


def test_a_slow_log_handler_delays_results_and_swallows_none(run, broker: EmbeddedBroker) -> None:
    """While a line is written, more lines come and the loop is told again."""

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.002)

    logger, slow = logging.getLogger("kafka_email.librdkafka"), Slow()

    async def main() -> None:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(slow)
        await kafka_manager.stop()
        await kafka_manager.start(config_for(broker, producer_options={"debug": "msg,broker"}))
        for _ in range(3):
            await asyncio.gather(*publishes(10))

    try:
        run(main(), broker)
    finally:
        logger.removeHandler(slow)
        logger.setLevel(logging.NOTSET)


class Alarm(Exception):
    """What a signal handler of the application raises."""


@pytest.fixture(params=[Alarm, KeyboardInterrupt])
def alarm(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Sends this process a signal whose handler raises; does nothing the second time."""
    left = [request.param]

    def handler(*_: Any) -> None:
        raise left.pop()

    before = signal.signal(signal.SIGUSR1, handler)
    yield lambda: signal.raise_signal(signal.SIGUSR1) if left else None
    signal.signal(signal.SIGUSR1, before)


def outcomes(loop: asyncio.AbstractEventLoop, broker: EmbeddedBroker, count: int) -> list[Any]:
    """Publishes events whose outcomes arrive together; goes on where an exception of a signal handler ends the loop."""
    raised: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
    broker.round_trip_ms = 100
    tasks = [loop.create_task(publish(str(number))) for number in range(count)]
    everything = asyncio.gather(*tasks, return_exceptions=True)
    with suppress(KeyboardInterrupt):
        loop.run_until_complete(everything)
        assert [type(error) for error in raised] == [Alarm]
    return loop.run_until_complete(everything)


@pytest.mark.parametrize("is_after", [False, True], ids=["before it is scheduled", "after it is scheduled"])
def test_a_signal_while_tasks_are_resumed(alarm: Callable[[], None], is_after: bool, broker: EmbeddedBroker) -> None:
    class Loop(asyncio.SelectorEventLoop):
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            is_resumption = bool(args) and type(args[0]).__name__ == "Promise"
            if is_resumption and not is_after:
                alarm()
            handle = super().call_soon(callback, *args, context=context)
            if is_resumption and is_after:
                alarm()
            return handle

    asyncio.run(kafka_manager.start(config_for(broker)))
    loop = Loop()
    try:
        assert [result.offset for result in outcomes(loop, broker, 5)] == [0, 1, 2, 3, 4]
        loop.run_until_complete(kafka_manager.stop())
    finally:
        loop.close()


def test_a_signal_while_failures_are_put_into_words(
    alarm: Callable[[], None], broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = KafkaError.__init__

    def interrupted(self: KafkaError, *args: Any, **details: Any) -> None:
        alarm()
        plain(self, *args, **details)

    asyncio.run(kafka_manager.start(config_for(broker, max_in_flight_requests=1)))
    monkeypatch.setattr(KafkaError, "__init__", interrupted)
    broker.fail_next("TOPIC_AUTHORIZATION_FAILED", 100)
    loop = asyncio.new_event_loop()
    try:
        assert [type(error) for error in outcomes(loop, broker, 5)] == [AuthorizationError] * 5
        loop.run_until_complete(kafka_manager.stop())
    finally:
        loop.close()


def test_a_signal_while_lines_are_written(alarm: Callable[[], None], broker: EmbeddedBroker) -> None:
    class Alarming(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            alarm()

    logger, handler = logging.getLogger("kafka_email.events"), Alarming()
    asyncio.run(kafka_manager.start(config_for(broker)))
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    loop = asyncio.new_event_loop()
    try:
        assert [result.offset for result in outcomes(loop, broker, 5)] == [0, 1, 2, 3, 4]
        loop.run_until_complete(kafka_manager.stop())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        loop.close()
