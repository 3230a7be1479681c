"""A full local queue is waited for, in order and within the deadline."""

import asyncio
import time

import pytest

from kafka_email import (
    BasePublisher,
    EmailPublisher,
    KafkaTimeoutError,
    MessageTooLargeError,
    QueueFullError,
    RecordMetadata,
    kafka_manager,
)
from support.package.embedded import ADDRESS, TOPIC, publish, publishes, started, ticking, usernames


async def test_200_publishes_through_a_queue_of_10_are_delivered_in_order() -> None:
    async with started(queue_max_messages=10) as broker:
        async with ticking() as pauses:
            results = await asyncio.gather(*publishes(200))
        assert [result.offset for result in results] == list(range(200))
        assert usernames(broker) == [str(number) for number in range(200)]
        assert max(pauses) < 0.5


async def test_each_key_keeps_its_order() -> None:
    async def one(key: int, number: int) -> None:
        await BasePublisher(TOPIC).publish({"username": f"{key}-{number}"}, key=f"key-{key}")

    async with started(queue_max_messages=10) as broker:
        await asyncio.gather(*[one(key, number) for number in range(40) for key in range(5)])
        for key in range(5):
            mine = [name for name in usernames(broker) if name.startswith(f"{key}-")]
            assert mine == [f"{key}-{number}" for number in range(40)]


async def test_the_limit_in_bytes_is_waited_for_as_well() -> None:
    async with started(queue_max_bytes=1_048_576, compression_type="none") as broker:
        names = [f"{number}{'x' * 300_000}" for number in range(10)]
        await asyncio.gather(*[asyncio.create_task(publish(name)) for name in names])
        assert usernames(broker) == names


async def test_an_event_that_the_queue_has_no_room_for_is_refused_at_once_and_alone() -> None:
    options = {"queue.buffering.max.kbytes": 4}
    async with started(producer_options=options, compression_type="none") as broker:
        names = [str(number) for number in range(20)]
        tasks = [asyncio.create_task(publish(name)) for name in [*names[:10], "x" * 5000, *names[10:]]]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(10), MessageTooLargeError)
        assert usernames(broker) == names


async def test_order_is_kept_over_both_validation_paths() -> None:
    """A display name is left to Pydantic, a plain address is not; the key makes them one recipient."""
    recipients = (ADDRESS, f"Ann <{ADDRESS}>", "ann@GMAIL.com")

    async def emails(number: int) -> None:
        await EmailPublisher().publish_welcome_email(recipients[number % 3], str(number))

    async with started(queue_max_messages=10) as broker:
        await asyncio.gather(*[asyncio.create_task(emails(number)) for number in range(90)])
        for key in recipients:
            mine = [int(record.value["username"]) for record in broker.records(TOPIC) if record.key == key]
            assert len(mine) == 30
            assert mine == sorted(mine)


async def test_order_is_kept_between_publishers_of_one_key() -> None:
    async def one(number: int) -> None:
        if number % 2:
            await EmailPublisher().publish_welcome_email(ADDRESS, str(number))
        else:
            await BasePublisher(TOPIC).publish({"username": str(number)}, key=ADDRESS)

    async with started(queue_max_messages=7) as broker:
        await asyncio.gather(*[asyncio.create_task(one(number)) for number in range(100)])
        assert usernames(broker) == [str(number) for number in range(100)]


async def test_with_the_cluster_down_everyone_fails_within_the_deadline() -> None:
    async with started(queue_max_messages=10, request_timeout_ms=2000) as broker:
        await publish()
        broker.broker_down()
        await asyncio.sleep(0.1)
        began = time.monotonic()
        results = await asyncio.gather(*publishes(200), return_exceptions=True)
        assert time.monotonic() - began < 2.5
        assert all(isinstance(result, (QueueFullError, KafkaTimeoutError)) for result in results)
        assert all(result.retriable for result in results)


async def test_a_queue_that_stays_full_is_named_with_the_cause() -> None:
    options = {"message.timeout.ms": "60000"}  # what is in the queue stays there beyond the deadline of a publish
    async with started(queue_max_messages=2, request_timeout_ms=800, producer_options=options) as broker:
        await publish()
        broker.broker_down()
        await asyncio.sleep(0.1)
        tasks = publishes(4)
        results = await asyncio.gather(*tasks[2:], return_exceptions=True)
        for error in results:
            assert isinstance(error, QueueFullError)
            assert (error.code, error.retriable, error.maybe_delivered) == ("QUEUE_FULL", True, False)
            assert error.topic == TOPIC
            assert "queue_max_messages" in str(error)
            assert "refused" in str(error)
        await kafka_manager.stop(0.1)
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_queue_recovers_with_the_cluster() -> None:
    async with started(queue_max_messages=5, request_timeout_ms=15_000) as broker:
        await publish("before")
        broker.broker_down()
        tasks = publishes(50)
        await asyncio.sleep(0.5)
        broker.broker_up()
        await asyncio.gather(*tasks)
        assert usernames(broker) == ["before", *map(str, range(50))]


@pytest.mark.parametrize("size", [1, 3])
async def test_many_fit_through_a_queue_smaller_than_they_are(size: int) -> None:
    async with started(queue_max_messages=size) as broker:
        events = [{"email_type": "welcome", "recipient": ADDRESS, "username": str(number)} for number in range(30)]
        results = await EmailPublisher().publish_many(events)
        assert [result.offset for result in results] == list(range(30))
        assert usernames(broker) == [str(number) for number in range(30)]


async def test_each_of_many_has_one_result_also_when_the_deadline_comes_before_the_last_word() -> None:
    options = {"message.timeout.ms": "60000", "request.timeout.ms": "60000"}
    events = [{"email_type": "welcome", "recipient": ADDRESS, "username": str(number)} for number in range(3)]
    publisher = EmailPublisher()
    async with started(queue_max_messages=1, request_timeout_ms=1000, producer_options=options) as broker:
        await publish("before")
        broker.round_trip_ms = 700
        stored, overdue, unqueued = await publisher.publish_many(events)
        assert isinstance(stored, RecordMetadata)
        assert isinstance(overdue, KafkaTimeoutError)
        assert overdue.maybe_delivered
        assert isinstance(unqueued, QueueFullError)
        broker.round_trip_ms = 0
        await asyncio.sleep(1)  # the last word on the second comes, and nobody waits for it
        assert all(isinstance(result, RecordMetadata) for result in await publisher.publish_many(events))
        assert usernames(broker) == ["before", "0", "1", "0", "1", "2"]
