"""stop(): flushes within its time, fails the rest, reports, and releases everything."""

import asyncio
import logging
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import ANY

import pytest

from kafka_email import ProducerClosedError, RecordMetadata, StopReport, kafka_manager
from support.package.embedded import (
    config_for,
    eventually,
    native_threads,
    open_files,
    publish,
    publishes,
    started,
    ticking,
)
from support.package.process import assert_clean, run_script

NOTHING = StopReport(delivered=0, failed=0, elapsed_s=0.0)


async def test_without_start_and_twice_it_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await kafka_manager.stop() == NOTHING
    async with started():
        await kafka_manager.stop()
        caplog.set_level(logging.DEBUG, "kafka_email")
        assert await kafka_manager.stop() == NOTHING
        assert not caplog.records


async def test_what_is_under_way_is_delivered_and_counted() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 300
        tasks = publishes(7)
        await asyncio.sleep(0.05)
        async with ticking() as pauses:
            report = await kafka_manager.stop()
        assert (report.delivered, report.failed) == (7, 0)
        assert 0.1 < report.elapsed_s < 3
        assert max(pauses) < 0.2
        assert [stored.offset for stored in await asyncio.gather(*tasks)] == list(range(1, 8))


async def test_what_waits_for_space_is_delivered_too() -> None:
    async with started(queue_max_messages=2) as broker:
        broker.round_trip_ms = 50
        tasks = publishes(12)
        await asyncio.sleep(0.02)
        assert (await kafka_manager.stop()).delivered == 12
        await asyncio.gather(*tasks)
        broker.round_trip_ms = 0
        assert len(broker.records("email-events")) == 12


async def test_the_report_is_frozen_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with started():
        caplog.set_level(logging.INFO, "kafka_email")
        report = await kafka_manager.stop()
        with pytest.raises(AttributeError):
            report.failed = 1  # type: ignore[misc]
        (record,) = caplog.records
        assert (record.levelname, record.kafka_email_event) == ("INFO", "stopped")
        assert "0 events delivered, 0 failed" in record.message


async def test_events_past_the_deadline_fail_as_not_delivered_when_they_never_left() -> None:
    async with started(request_timeout_ms=20_000, queue_max_messages=3) as broker:
        await publish()
        broker.broker_down()
        await asyncio.sleep(0.1)
        tasks = publishes(5)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        report = await kafka_manager.stop(0.3)
        assert time.monotonic() - began < 3
        assert (report.delivered, report.failed) == (0, 5)
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, ProducerClosedError)
            assert (error.code, error.retriable, error.maybe_delivered) == ("PRODUCER_CLOSED", False, False)
            assert error.topic == "email-events"


async def test_events_past_the_deadline_fail_as_maybe_delivered_when_they_were_sent() -> None:
    async with started(request_timeout_ms=20_000) as broker:
        await publish()
        broker.round_trip_ms = 2000
        task = asyncio.create_task(publish())
        await asyncio.sleep(0.2)
        assert (await kafka_manager.stop(0.2)).failed == 1
        with pytest.raises(ProducerClosedError) as caught:
            await task
        assert caught.value.maybe_delivered


async def test_the_report_tells_how_long_it_took_with_the_cluster_down_as_well() -> None:
    async with started() as broker:
        broker.broker_down()
        await asyncio.sleep(0.1)  # a look at the cluster is under way
        began = time.monotonic()
        report = await kafka_manager.stop(0.1)
        assert report.elapsed_s == pytest.approx(time.monotonic() - began, abs=0.3)


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
async def test_an_impossible_timeout_is_no_error(timeout: float) -> None:
    async with started() as broker:
        broker.broker_down()
        task = asyncio.create_task(publish())
        await asyncio.sleep(0.01)
        assert (await kafka_manager.stop(timeout)).failed == 1
        with pytest.raises(ProducerClosedError):
            await task


@pytest.mark.parametrize("timeout", ["5", [], timedelta(seconds=1), 10**400, Decimal("sNaN"), 1j])
async def test_a_wrong_timeout_is_no_error(timeout: Any) -> None:
    async with started() as broker:
        assert (await kafka_manager.health(timeout)).healthy
        broker.round_trip_ms = 50
        task = asyncio.create_task(publish())
        await asyncio.sleep(0.01)
        assert await kafka_manager.stop(timeout) == StopReport(1, 0, elapsed_s=ANY)
        assert (await task).offset == 0


WITHOUT_DESCRIPTORS = """
import asyncio, os, resource
from kafka_email import kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, publish

with EmbeddedBroker() as broker:
    asyncio.run(kafka_manager.start(config_for(broker)))
    asyncio.run(publish())
    publishing, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    broker.round_trip_ms = 1000
    task = publishing.create_task(publish())
    publishing.run_until_complete(asyncio.sleep(0.01))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            break
    health = other.run_until_complete(kafka_manager.health())
    print(health.healthy, health.last_error)
    report = other.run_until_complete(kafka_manager.stop())
    print(report.delivered, report.failed, other.run_until_complete(kafka_manager.stop()).delivered)
    print(publishing.run_until_complete(task).offset)
    for descriptor in taken:
        os.close(descriptor)
    publishing.close()
    other.close()
"""


def test_without_descriptors_nothing_is_raised_or_lost() -> None:
    out = assert_clean(run_script(WITHOUT_DESCRIPTORS))
    assert out == "False Too many open files (os error 24)\n1 0 0\n1\n"


async def test_of_concurrent_calls_one_stops_and_reports() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 300
        tasks = publishes(7)
        await asyncio.sleep(0)
        reports = await asyncio.gather(*[kafka_manager.stop() for _ in range(5)])
        assert [(report.delivered, report.failed) for report in reports] == [(7, 0)] + [(0, 0)] * 4
        assert reports[1:] == [NOTHING] * 4
        assert [stored.offset for stored in await asyncio.gather(*tasks)] == list(range(1, 8))


async def test_publishing_afterwards_fails() -> None:
    async with started():
        await publish()
        await kafka_manager.stop()
        assert kafka_manager.is_connected is False
        with pytest.raises(ProducerClosedError) as caught:
            await publish()
        assert isinstance(caught.value, RuntimeError)
        assert (caught.value.code, caught.value.maybe_delivered) == ("PRODUCER_CLOSED", False)


async def test_publishing_meanwhile_fails() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 200
        tasks = publishes(1)
        await asyncio.sleep(0.02)
        stopping = asyncio.create_task(kafka_manager.stop())
        await asyncio.sleep(0.02)
        with pytest.raises(ProducerClosedError):
            await publish()
        assert (await stopping).delivered == 1
        await asyncio.gather(*tasks)


async def test_cancelled_it_goes_on_in_the_background() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 300
        task = asyncio.create_task(publish())
        await asyncio.sleep(0.02)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(kafka_manager.stop(), 0.05)
        with pytest.raises(ProducerClosedError):
            await publish()
        assert (await task).offset == 1
        await eventually(lambda: not native_threads()["kafka-email"], 3)


async def test_nothing_is_logged_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    """Nor kept for the next producer of this loop to log."""
    caplog.set_level(logging.DEBUG, "kafka_email")
    async with started(producer_options={"debug": "all"}) as broker:
        await asyncio.gather(*publishes(20))
        broker.broker_down()
        await eventually(lambda: "Connection refused" in caplog.text, 10)
        await kafka_manager.stop(0.1)
        caplog.clear()
        await eventually(lambda: not native_threads()["kafka-email-pol"], 3)
        broker.broker_up()
        await kafka_manager.start(config_for(broker))
        await publish()
        assert [record.kafka_email_event for record in caplog.records] == ["started", "delivered"]


async def test_threads_and_files_are_released() -> None:
    async with started() as broker:
        await kafka_manager.stop()
        await asyncio.sleep(0.2)
        threads, files = native_threads(), open_files()
        for _ in range(10):
            await kafka_manager.start(config_for(broker))
            await publish()
            assert native_threads()["kafka-email-pol"] == 1
            await kafka_manager.stop()
        await eventually(lambda: native_threads() <= threads, 3)
        await eventually(lambda: open_files() <= files, 3)


@pytest.mark.parametrize(
    ("timeout", "is_long"),
    [(float("inf"), True), (10**12, True), (float("nan"), False), (-1.0, False), (float("-inf"), False)],
)
async def test_any_number_is_a_timeout(timeout: float, is_long: bool) -> None:
    """Of no time, or of more than it takes."""
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 300
        assert (await kafka_manager.health(timeout)).healthy is is_long
        tasks = publishes(3)
        await asyncio.sleep(0)
        report = await kafka_manager.stop(timeout)
        assert (report.delivered, report.failed) == ((3, 0) if is_long else (0, 3))
        outcome = RecordMetadata if is_long else ProducerClosedError
        assert all(isinstance(result, outcome) for result in await asyncio.gather(*tasks, return_exceptions=True))
