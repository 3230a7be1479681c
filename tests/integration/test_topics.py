"""Topics that are not there, codecs, acknowledgements and limits on a real Kafka."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kafka_email import (
    BasePublisher,
    EmailPublisher,
    KafkaConfig,
    MessageTooLargeError,
    UnknownTopicError,
    kafka_manager,
)
from support.kafka.cluster import Kafka, KafkaCluster
from support.package.health import always_connected


@asynccontextmanager
async def started(kafka: Kafka, **options: Any) -> AsyncIterator[None]:
    """A manager connected to this Kafka."""
    await kafka_manager.start(KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, **options))
    try:
        yield
    finally:
        await kafka_manager.stop()


async def test_the_first_publish_creates_a_topic_where_the_broker_allows_it(
    make_kafka: Callable[..., KafkaCluster],
) -> None:
    with make_kafka(partitions=3) as kafka:
        async with started(kafka, email_topic="brand-new"):
            assert "brand-new" not in await asyncio.to_thread(topics_of, kafka)
            stored = await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
            assert stored.topic == "brand-new"
            assert "brand-new" in await asyncio.to_thread(topics_of, kafka)


async def test_events_are_stored_when_kafka_and_their_topic_come_later(
    make_kafka: Callable[..., KafkaCluster],
) -> None:
    kafka = make_kafka(partitions=3)
    async with started(kafka, required=False, email_topic="brand-new", request_timeout_ms=60_000):
        tasks = [
            asyncio.create_task(EmailPublisher().publish_welcome_email("ann@gmail.com", str(number)))
            for number in range(50)
        ]
        await asyncio.sleep(5)
        try:
            await asyncio.to_thread(kafka.__enter__)
            stored = await asyncio.gather(*tasks)
        finally:
            await asyncio.to_thread(kafka.close)
    assert sorted(result.offset for result in stored) == list(range(50))


async def test_a_topic_that_nobody_creates_is_an_error_until_it_is_there(
    make_kafka: Callable[..., KafkaCluster],
) -> None:
    with make_kafka(auto_create_topics=False) as kafka:
        async with started(kafka, request_timeout_ms=8000):
            began = time.monotonic()
            with pytest.raises(UnknownTopicError, match="missing-topic") as caught:
                await BasePublisher("missing-topic").publish({"a": 1})
            assert time.monotonic() - began < 8
            assert caught.value.code == "UNKNOWN_TOPIC_OR_PARTITION"
            assert caught.value.topic == "missing-topic"
            assert not caught.value.maybe_delivered

            await asyncio.to_thread(kafka.create_topic, "missing-topic")
            deadline = time.monotonic() + 15
            while True:
                try:
                    stored = await BasePublisher("missing-topic").publish({"a": 1})
                    break
                except UnknownTopicError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            assert stored.offset == 0


async def test_events_for_a_topic_that_does_not_exist_harm_no_other(make_kafka: Callable[..., KafkaCluster]) -> None:
    with make_kafka(auto_create_topics=False) as kafka:
        topic = await asyncio.to_thread(kafka.create_topic)
        async with started(kafka, request_timeout_ms=9000):
            lost = [asyncio.create_task(BasePublisher("typo").publish({"text": "x" * 500})) for _ in range(200)]
            for number in range(8):
                await asyncio.wait_for(BasePublisher(topic).publish({"n": number}), 2)
                assert kafka_manager.is_connected
                assert (await kafka_manager.health()).healthy
                await asyncio.sleep(0.9)  # longer together than a stall
            results = await asyncio.gather(*lost, return_exceptions=True)
            assert {type(result) for result in results} == {UnknownTopicError}
            alone = asyncio.create_task(BasePublisher("typo").publish({}))
            async with always_connected():
                with pytest.raises(UnknownTopicError):
                    await alone


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_arrives(kafka: Kafka, topic: str, codec: str) -> None:
    publisher = BasePublisher(topic)
    async with started(kafka, compression_type=codec):
        await asyncio.gather(*(publisher.publish({"n": n, "text": "x" * 500}, str(n)) for n in range(200)))
    assert len(kafka.consume(topic, 200)) == 200


@pytest.mark.parametrize(("acks", "offset"), [("all", 0), ("1", 0), ("0", -1)])
async def test_acknowledgements(kafka: Kafka, topic: str, acks: str, offset: int) -> None:
    async with started(kafka, acks=acks):
        stored = await BasePublisher(topic).publish({"a": 1})
        assert stored.offset == offset
        # Before the connection is closed: without acknowledgements nothing else tells that the broker has read it all.
        assert len(await kafka.consume_async(topic, 1)) == 1


async def test_the_largest_event_is_stored_and_a_larger_one_refused_at_once(kafka: Kafka, topic: str) -> None:
    async with started(kafka, max_request_size=100_000, compression_type="none"):
        publisher = BasePublisher(topic)
        await publisher.publish({"text": "x" * 99_000})
        with pytest.raises(MessageTooLargeError, match="max_request_size"):
            await publisher.publish({"text": "x" * 100_000})


async def test_what_the_broker_finds_too_large_is_an_error_too(kafka: Kafka) -> None:
    topic = await asyncio.to_thread(lambda: kafka.create_topic(**{"max.message.bytes": "10000"}))
    async with started(kafka, compression_type="none"):
        with pytest.raises(MessageTooLargeError, match="brokers refuse"):
            await BasePublisher(topic).publish({"text": "x" * 50_000})


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("is_email_topic", [True, False])
async def test_a_topic_that_takes_small_batches_only_stores_many_events_in_order(
    kafka: Kafka, compression: str, is_email_topic: bool
) -> None:
    topic = await asyncio.to_thread(lambda: kafka.create_topic(**{"max.message.bytes": "20000"}))
    other = {"email_topic": topic} if is_email_topic else {}
    publisher = BasePublisher(topic)
    async with started(kafka, compression_type=compression, **other):
        events = ({"n": n, "text": random.randbytes(80).hex()} for n in range(3000))
        await asyncio.gather(*(publisher.publish(event, f"key-{event['n'] % 20}") for event in events))
    stored = [(record.key, json.loads(record.value or b"")["n"]) for record in kafka.consume(topic, 3000)]
    for key in {key for key, _ in stored}:
        numbers = [n for other, n in stored if other == key]
        assert numbers == sorted(numbers)
    assert sorted(n for _, n in stored) == list(range(3000))


async def test_time_of_storage_where_the_topic_says_so(kafka: Kafka) -> None:
    topic = await asyncio.to_thread(lambda: kafka.create_topic(**{"message.timestamp.type": "LogAppendTime"}))
    async with started(kafka):
        stored = await BasePublisher(topic).publish({"a": 1})
    (record,) = kafka.consume(topic, 1)
    assert record.timestamp_ms == stored.timestamp_ms


def topics_of(kafka: Kafka) -> set[str]:
    """Names of all topics."""
    from confluent_kafka.admin import AdminClient

    return set(AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics)
