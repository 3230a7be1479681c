"""A task that waited for a publish is resumed by its loop, in its own context, as after any future of asyncio's."""

import asyncio
import contextvars
import gc
import logging
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from kafka_email import AuthorizationError, EmailPublisher, KafkaError, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import ADDRESS, config_for, eventually, publish
from support.package.process import assert_clean, run_script

REQUEST: contextvars.ContextVar[Any] = contextvars.ContextVar("request", default=None)

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

NESTED = """
import asyncio, nest_asyncio
from kafka_email import EmailPublisher, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, publish, usernames

async def cell(number):
    await publish(f"{number}")
    inside = asyncio.run(publish(f"{number}, nested"))
    event = {"email_type": "welcome", "recipient": "ann@gmail.com", "username": f"{number}, nested again"}
    many = asyncio.run(EmailPublisher().publish_many([event]))
    assert {inside.topic, many[0].topic} == {"email-events"}

async def main():
    nest_asyncio.apply()
    async with EmbeddedBroker() as broker:
        await kafka_manager.start(config_for(broker))
        await asyncio.gather(*(cell(number) for number in range(20)))
        report = await kafka_manager.stop()
        print(len(usernames(broker)), report.failed)

asyncio.run(main())
"""


def test_a_loop_inside_a_loop() -> None:
    """As in a notebook: a task that has published runs the loop once more, and publishes there."""
    assert assert_clean(run_script(NESTED)) == "60 0\n"


def test_a_slow_task_is_named_in_debug_mode(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    async def dawdle() -> None:
        await publish()
        asyncio.get_running_loop().slow_callback_duration = 0.0

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 10.0
        await kafka_manager.start(config_for(broker))
        await asyncio.create_task(dawdle(), name="the slow one")

    asyncio.run(main(), debug=True)
    assert "the slow one" in caplog.text


@dataclass(frozen=True)
class Line:
    """A line of the package, and the request in whose context it was written."""

    logger: str
    message: str
    request: Any


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """The lines of the package, at every level."""
    lines: list[Line] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(Line(record.name, record.getMessage(), REQUEST.get()))

    logger, handler = logging.getLogger("kafka_email"), Handler()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(before)


async def request(name: str) -> RecordMetadata:
    """Publishes in the context of a request."""
    REQUEST.set(name)
    return await publish(name)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_line_carries_the_context_of_its_publish(new_loop: Any, broker: EmbeddedBroker, lines: list[Line]) -> None:
    async def batch() -> list[RecordMetadata | KafkaError]:
        REQUEST.set("batch")
        event = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}
        return await EmailPublisher().publish_many([event] * 2)

    async def main() -> dict[str | None, str]:
        await asyncio.create_task(request("first"))
        stored = await asyncio.gather(*(request(str(number)) for number in range(5)))
        many = await asyncio.create_task(batch())
        broker.fail_next("TOPIC_AUTHORIZATION_FAILED")
        with pytest.raises(AuthorizationError) as failed:
            await asyncio.create_task(request("failed"))
        ids = {result.event_id: str(number) for number, result in enumerate(stored)}
        return ids | {result.event_id: "batch" for result in many} | {failed.value.event_id: "failed"}

    loop = new_loop()
    try:
        asyncio.run(kafka_manager.start(config_for(broker)))
        expected = loop.run_until_complete(main())
    finally:
        loop.run_until_complete(kafka_manager.stop())
        loop.close()
    assert len(expected) == 8
    for event_id, name in expected.items():
        assert [line.request for line in lines if str(event_id) in line.message] == [name]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_line_of_no_publish_has_an_empty_context(new_loop: Any, broker: EmbeddedBroker, lines: list[Line]) -> None:
    async def main() -> None:
        REQUEST.set("the one that starts")
        await kafka_manager.start(config_for(broker, producer_options={"debug": "broker"}))
        broker.round_trip_ms = 50
        cancelled = asyncio.create_task(request("cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await eventually(lambda: any(line.message.startswith("delivered") for line in lines), 5)

    loop = new_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(kafka_manager.stop())
        loop.close()
    native = [line for line in lines if line.logger != "kafka_email.manager"]
    assert {line.logger for line in native} == {"kafka_email.events", "kafka_email.librdkafka"}
    assert {line.request for line in native} == {None}


@pytest.mark.parametrize("new_loop", LOOPS)
def test_nothing_of_the_first_caller_is_kept(new_loop: Any, broker: EmbeddedBroker) -> None:
    class Request:
        pass

    kept: list[weakref.ref[Request]] = []

    async def first() -> None:
        request = Request()
        kept.append(weakref.ref(request))
        REQUEST.set(request)
        await publish()

    async def main() -> None:
        await asyncio.create_task(first())
        await publish()
        gc.collect()
        assert kept[0]() is None

    loop = new_loop()
    try:
        asyncio.run(kafka_manager.start(config_for(broker)))
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(kafka_manager.stop())
        loop.close()
