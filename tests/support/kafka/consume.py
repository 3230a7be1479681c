"""Reading a topic with clients that are not ours, so that what they see is what any consumer sees."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiokafka  # type: ignore[import-untyped]
import confluent_kafka


@dataclass(frozen=True)
class Received:
    """One record as a consumer got it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int


def with_confluent_kafka(
    bootstrap_servers: str, topic: str, count: int, timeout: float = 20.0, **options: Any
) -> list[Received]:
    """Everything in a topic, sorted by partition and offset, read once it has at least `count` records.

    Records beyond `count` come too, so that a duplicate is seen.

    Args:
        bootstrap_servers: `host:port`, more than one separated by commas.
        topic: an existing topic.
        count: how many to wait for.
        timeout: in seconds.
        options: confluent-kafka's settings with `_` in place of `.`: `security_protocol="SSL"`.

    Raises:
        AssertionError: fewer came in time.
        KafkaException: the consumer reports an error.
    """
    settings = {name.replace("_", "."): value for name, value in options.items()}
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "tests",  # demanded, but no group is joined and nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,  # the end of a partition shows only when a fetch has come back empty
            **settings,
        }
    )
    try:
        return _read_to_the_end(consumer, topic, count, time.monotonic() + timeout)
    finally:
        consumer.close()


def _read_to_the_end(consumer: confluent_kafka.Consumer, topic: str, count: int, deadline: float) -> list[Received]:
    partitions = consumer.list_topics(topic, timeout=deadline - time.monotonic()).topics[topic].partitions
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, number, beginning) for number in partitions])
    received: list[Received] = []
    at_end: set[int] = set()
    while len(received) < count or len(at_end) < len(partitions):
        _check_time(deadline, received, count, topic)
        message: Any = consumer.poll(0.1)  # Any: its type has None for what a record always has
        if message is None:
            continue
        error = message.error()
        if error is None:
            at_end.discard(message.partition())
            received.append(_from_confluent_kafka(message))
        elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
            at_end.add(message.partition())
        else:
            raise confluent_kafka.KafkaException(error)
    return _sorted(received)


def _from_confluent_kafka(message: Any) -> Received:
    return Received(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        list(message.headers() or []),
        message.timestamp()[1],
    )


async def with_aiokafka(
    bootstrap_servers: str, topic: str, count: int, timeout: float = 20.0, **options: Any
) -> list[Received]:
    """The same as `with_confluent_kafka`, read by aiokafka.

    Args:
        bootstrap_servers: `host:port`, more than one separated by commas.
        topic: an existing topic.
        count: how many to wait for.
        timeout: in seconds.
        options: arguments of `AIOKafkaConsumer`.

    Raises:
        AssertionError: fewer came in time.
        aiokafka.errors.KafkaError: the consumer reports an error.
    """
    consumer = aiokafka.AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=None, auto_offset_reset="earliest", **options
    )
    await consumer.start()
    try:
        return await _poll_to_the_end(consumer, topic, count, time.monotonic() + timeout)
    finally:
        await consumer.stop()


async def _poll_to_the_end(
    consumer: aiokafka.AIOKafkaConsumer, topic: str, count: int, deadline: float
) -> list[Received]:
    received: list[Received] = []
    while len(received) < count or not await _is_at_end(consumer):
        _check_time(deadline, received, count, topic)
        for records in (await consumer.getmany(timeout_ms=100)).values():
            received += map(_from_aiokafka, records)
    return _sorted(received)


async def _is_at_end(consumer: aiokafka.AIOKafkaConsumer) -> bool:
    ends = await consumer.end_offsets(consumer.assignment())
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])


def _from_aiokafka(record: aiokafka.ConsumerRecord) -> Received:
    return Received(record.partition, record.offset, record.key, record.value, list(record.headers), record.timestamp)


def _sorted(received: Iterable[Received]) -> list[Received]:
    return sorted(received, key=lambda record: (record.partition, record.offset))


def _check_time(deadline: float, received: list[Received], count: int, topic: str) -> None:
    assert time.monotonic() < deadline, f"{topic}: {len(received)} of {count} records came in time"
