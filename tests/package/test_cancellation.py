"""Cancelling a publish never un-sends: what is queued is delivered, what waits for space is never queued."""

import asyncio

import pytest

from kafka_email import EmailPublisher, kafka_manager
from support.package.embedded import ADDRESS, publish, publishes, started, usernames


async def cancel(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_once_queued_it_is_stored_and_counted() -> None:
    async with started() as broker:
        await publish("before")
        broker.round_trip_ms = 200
        tasks = publishes(3)
        await asyncio.sleep(0.02)
        await cancel(*tasks)
        assert (await kafka_manager.stop()).delivered == 3
        broker.round_trip_ms = 0
        assert usernames(broker) == ["before", "0", "1", "2"]


async def test_while_waiting_for_space_it_is_never_stored() -> None:
    async with started(queue_max_messages=2) as broker:
        await publish("before")
        broker.round_trip_ms = 200
        tasks = publishes(6)
        await asyncio.sleep(0.02)
        await cancel(tasks[3], tasks[4])
        broker.round_trip_ms = 0
        await asyncio.gather(*tasks[:3], tasks[5])
        assert (await kafka_manager.stop()).failed == 0
        assert usernames(broker) == ["before", "0", "1", "2", "5"]


async def test_before_it_has_begun_nothing_is_sent() -> None:
    async with started() as broker:
        await cancel(asyncio.create_task(publish()))
        await kafka_manager.stop()
        assert not broker.records("email-events")


async def test_a_time_limit_of_the_caller() -> None:
    async with started() as broker:
        await publish("before")
        broker.round_trip_ms = 300
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(publish("late"), 0.05)
        assert (await kafka_manager.stop()).delivered == 1
        broker.round_trip_ms = 0
        assert usernames(broker) == ["before", "late"]


async def test_many_leave_what_is_queued_and_take_back_the_rest() -> None:
    async with started(queue_max_messages=3) as broker:
        await publish("before")
        broker.round_trip_ms = 200
        events = [{"email_type": "welcome", "recipient": ADDRESS, "username": str(number)} for number in range(10)]
        task = asyncio.create_task(EmailPublisher().publish_many(events))
        await asyncio.sleep(0.02)
        await cancel(task)
        assert (await kafka_manager.stop()).delivered == 3
        broker.round_trip_ms = 0
        assert usernames(broker) == ["before", "0", "1", "2"]


async def test_the_failure_of_a_cancelled_publish_disturbs_nobody() -> None:
    """No "exception was never retrieved", no callback on a future that is done: either would be printed."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with started(request_timeout_ms=500) as broker:
        broker.broker_down()
        tasks = publishes(5)
        await asyncio.sleep(0.05)
        await cancel(*tasks)
        await asyncio.sleep(1)
        assert (await kafka_manager.health()).in_flight == 0
    assert not complaints
