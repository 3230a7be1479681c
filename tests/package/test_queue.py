"""A full local queue is waited for, in order and within the deadline."""

import asyncio
import re
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
from kafka_email._core import metrics
from support.package.embedded import ADDRESS, TOPIC, publish, publishes, started, ticking, usernames
from support.package.process import assert_clean, run_script


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


async def test_after_a_refused_batch_batches_are_small() -> None:
    async def publish_200() -> int:
        """Returns how many of them are refused."""
        tasks = [asyncio.create_task(publish("x" * 2000)) for _ in range(200)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(result, MessageTooLargeError) for result in results)

    def large_batches() -> int:
        batches = metrics().batches
        return sum(batches.counts[batches.bounds.index(8) + 1 :])  # of more than 8 events

    async with started(compression_type="none", max_in_flight_requests=1) as broker:
        before = large_batches()
        while large_batches() == before:  # until it is clear that this broker does not tell the topic's limit
            await publish_200()
        refused = 0
        while refused <= 20:  # until one of the requests had several events
            broker.fail_next("MESSAGE_TOO_LARGE", 20)
            refused = await publish_200()
        while await publish_200():
            pass
        before = large_batches()
        for _ in range(5):
            await publish_200()
        assert large_batches() == before


SHARED = """
import asyncio, resource
from kafka_email import BasePublisher, EmailPublisher, KafkaConfig, kafka_manager
from kafka_email.testing import EmbeddedBroker

COUNT, LINK = 400, "\\u00fc" + "x" * 500_000

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

async def main():
    with EmbeddedBroker() as broker:
        options = {"queue_max_bytes": 1_048_576, "compression_type": "none"}
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers, **options))
        publisher = EmailPublisher()
        await publisher.publish_welcome_email("ann@gmail.com", "Ann")
        broker.broker_down()
        before = resident()
        tasks = [asyncio.create_task(publish(publisher, number)) for number in range(COUNT)]
        await asyncio.sleep(0.5)
        print(resident() - before)
        broker.broker_up()
        print(len(await asyncio.gather(*tasks)))
        await kafka_manager.stop()

PUBLISH
asyncio.run(main())
"""
BY_LINK = """
async def publish(publisher, number):
    return await publisher.publish_notification_email("ann@gmail.com", f"Ann {number}", LINK)
"""
BY_METADATA = """
async def publish(publisher, number):
    return await publisher.publish_notification_email("ann@gmail.com", "Ann", "", {"n": number, "text": [LINK]})
"""


BY_MANY_TEXTS = """
TEXTS = [LINK[:1000]] * 500

async def publish(publisher, number):
    return await publisher.publish_notification_email("ann@gmail.com", "Ann", "", {"n": number, "texts": TEXTS})
"""
IN_A_LIST = """
async def publish(publisher, number):
    event = {"email_type": "notification", "recipient": "ann@gmail.com", "username": "Ann", "link": LINK}
    (result,) = await publisher.publish_many([event])
    return result.offset
"""
AS_A_MAPPING = """
async def publish(publisher, number):
    return await BasePublisher("email-events").publish({"n": number, "text": LINK}, headers={"h": "v"})
"""
WAYS = {
    "link": BY_LINK,
    "metadata": BY_METADATA,
    "many texts": BY_MANY_TEXTS,
    "publish_many": IN_A_LIST,
    "send_event": AS_A_MAPPING,
}


@pytest.mark.parametrize("publish", WAYS.values(), ids=WAYS)
def test_events_that_wait_hold_no_copy_of_a_text_that_they_share(publish: str) -> None:
    out = assert_clean(run_script(SHARED.replace("PUBLISH", publish), 60))
    grown_mb, delivered = map(int, out.split())
    assert grown_mb < 40, "MB for 400 events of 500 kB each"
    assert delivered == 400


@pytest.mark.parametrize(("username", "text"), [("Ann", "x"), ("Änn \U0001f600", 'ü"\\\n\U0001f600')])
async def test_a_large_event_that_waited_arrives_as_it_was_published(username: str, text: str) -> None:
    link, long = text * 6000, {"a": [text * 5000, "short", {"b": text * 7000}], "c": 1.5}
    async with started(queue_max_messages=1, email_topic=TOPIC) as broker:
        broker.round_trip_ms = 50
        publisher = EmailPublisher()
        publishes = [
            publisher.publish_notification_email(ADDRESS, username, link, long),
            publisher.publish_notification_email(ADDRESS, username, link, long),
            publisher.publish_notification_email(f"Ann <{ADDRESS}>", username, link, long),
            publisher.publish_many(
                [
                    {
                        "email_type": "notification",
                        "recipient": ADDRESS,
                        "username": username,
                        "link": link,
                        "metadata": long,
                    }
                ]
                * 2
            ),
            BasePublisher(TOPIC).publish({"link": link, "metadata": long}),
        ]
        await asyncio.gather(*publishes)
        records = broker.records(TOPIC)
    assert len(records) == 6
    assert all((record.value["link"], record.value["metadata"]) == (link, long) for record in records)
    of_emails = [record.raw_value for record in records if "username" in record.value]
    assert len({re.sub(rb'"timestamp": "[^"]*"', b"", value) for value in of_emails}) == 1


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
