"""The tools that applications test with."""

import asyncio
import time

import confluent_kafka
import pytest
from aiokafka import AIOKafkaProducer

from kafka_email import (
    BasePublisher,
    EmailPublisher,
    KafkaTimeoutError,
    NotStartedError,
    ProducerClosedError,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import TOPIC, config_for, publish, started


def test_a_broker_is_a_context_manager() -> None:
    with EmbeddedBroker(brokers=3) as broker:
        assert len(broker.bootstrap_servers.split(",")) == 3
        assert broker.records("nothing-yet") == []
    with pytest.raises(RuntimeError, match="not running"):
        broker.records("nothing-yet")
    broker.stop()
    with broker:
        assert broker.bootstrap_servers


def test_other_clients_can_use_it() -> None:
    async def from_aiokafka(servers: str) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=servers)
        await producer.start()
        await producer.send_and_wait("mixed", b'{"from": "aiokafka"}')
        await producer.stop()

    with EmbeddedBroker() as broker:
        broker.create_topic("mixed", 1)
        asyncio.run(from_aiokafka(broker.bootstrap_servers))
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("mixed", b"not json", b"key")
        assert producer.flush(5) == 0
        first, second = broker.records("mixed")
        assert (first.key, first.value, first.raw_value) == (None, {"from": "aiokafka"}, b'{"from": "aiokafka"}')
        assert (second.key, second.value, second.offset) == ("key", b"not json", 1)


async def test_partitions() -> None:
    async with started() as broker:
        broker.create_topic("wide", 9)
        await asyncio.gather(*(BasePublisher("wide").publish({}, str(number)) for number in range(200)))
        assert {record.partition for record in broker.records("wide")} == set(range(9))
        with pytest.raises(RuntimeError, match="refused"):
            broker.create_topic("wide", 9)


async def test_records_outlive_an_outage() -> None:
    async with started(request_timeout_ms=500) as broker:
        await publish("before")
        broker.broker_down()
        with pytest.raises(KafkaTimeoutError):
            await publish("lost")
        broker.broker_up()
        assert [record.value["username"] for record in broker.records(TOPIC)] == ["before"]


async def test_records_that_the_broker_dropped_are_missed() -> None:
    async with started(compression_type="none") as broker:
        broker.create_topic("long", 1)
        text = "x" * 1000
        for _ in range(6):
            await asyncio.gather(*(BasePublisher("long").publish({"text": text}) for _ in range(1000)))
        with pytest.raises(RuntimeError, match=r"dropped the first \d+ records of partition 0"):
            broker.records("long")


async def test_answers_can_be_delayed() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 250
        began = time.monotonic()
        await publish()
        assert time.monotonic() - began >= 0.25
        assert broker.round_trip_ms == 250


async def test_records_can_be_waited_for() -> None:
    async with started() as broker:
        broker.round_trip_ms = 300
        publishing = asyncio.create_task(publish())
        (record,) = await asyncio.to_thread(broker.wait_for, 1)
        assert (await publishing).offset == record.offset
        with pytest.raises(TimeoutError, match=r"'email-events' holds 1 records after 0.5 s, not 2"):
            broker.wait_for(2, timeout=0.5)
        assert broker.wait_for(0, "nothing-yet") == []


async def test_one_broker_of_several_can_be_down() -> None:
    with EmbeddedBroker(brokers=2) as broker:
        broker.create_topic(TOPIC, 1)
        broker.set_leader(TOPIC, 0, 2)
        await kafka_manager.start(config_for(broker, request_timeout_ms=2000))
        try:
            await publish()
            broker.broker_down(2)
            with pytest.raises(KafkaTimeoutError):
                await publish()
            broker.set_leader(TOPIC, 0, 1)
            await publish()
        finally:
            await kafka_manager.stop(0.1)
        with pytest.raises(RuntimeError, match="refused"):
            broker.broker_down(3)


def test_errors_have_names() -> None:
    with EmbeddedBroker() as broker:
        with pytest.raises(ValueError, match="NO_SUCH_ERROR"):
            broker.fail_next("NO_SUCH_ERROR")
        with pytest.raises(RuntimeError, match="12345"):
            broker.fail_next(12345)
        with pytest.raises(ValueError, match="NoSuchRequest"):
            broker.fail_next("NOT_ENOUGH_REPLICAS", request="NoSuchRequest")
    with pytest.raises(ValueError, match="at least one"):
        EmbeddedBroker(brokers=0)


async def test_captured_events() -> None:
    with capture_events() as captured:
        assert kafka_manager.is_connected
        stored = await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann", headers={"tenant": "t"})
        await BasePublisher("user-events").publish({"n": 1})
        await EmailPublisher().publish_many([{"email_type": "welcome", "recipient": "b@gmail.com", "username": "B"}])
        assert [(event.topic, event.key, event.event_type) for event in captured.events] == [
            (TOPIC, "ann@gmail.com", "welcome"),
            ("user-events", None, "user-events"),
            (TOPIC, "b@gmail.com", "welcome"),
        ]
        assert captured.events[0].value["username"] == "Ann"
        assert captured.events[0].headers == {"tenant": "t"}
        assert (stored.topic, stored.offset) == (TOPIC, 0)
        captured.clear()
        assert captured.events == []
    with pytest.raises((NotStartedError, ProducerClosedError)):
        await publish()


async def test_captured_failures() -> None:
    with capture_events() as captured:
        captured.fail_with(KafkaTimeoutError("too late", code="REQUEST_TIMED_OUT"))
        with pytest.raises(KafkaTimeoutError, match="too late"):
            await publish()
        assert captured.events == []
        captured.fail_with(None)
        await publish()
        assert len(captured.events) == 1


async def test_an_application_may_start_and_stop_while_events_are_captured() -> None:
    async with started() as broker:
        with capture_events() as captured:
            await kafka_manager.start(config_for(broker))
            await publish()
            assert (await kafka_manager.health()).healthy
            assert (await kafka_manager.stop()).failed == 0
            assert len(captured.events) == 1
        await publish("really")
        assert [record.value["username"] for record in broker.records(TOPIC)] == ["really"]
