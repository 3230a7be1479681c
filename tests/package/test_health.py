"""health(): the truth, soon, from every state; and is_connected, which asks nobody."""

import asyncio
import dataclasses
import json
import time

import pytest

from kafka_email import KafkaConfig, KafkaHealth, kafka_manager
from support.package.embedded import eventually, native_threads, publish, publishes, started
from support.ports import HOST, free_port


async def test_of_a_running_cluster() -> None:
    async with started(email_topic="mails"):
        health = await kafka_manager.health()
        assert health
        assert health.healthy is True
        assert (health.brokers, health.topic, health.queued, health.in_flight) == (1, "mails", 0, 0)
        assert 0 <= health.latency_ms < 2000
        assert health.last_error is None
        assert health.librdkafka_version[0].isdigit()
        with pytest.raises(dataclasses.FrozenInstanceError):
            health.healthy = False  # type: ignore[misc]


async def test_as_a_dictionary_it_is_ready_for_json_and_holds_no_secret() -> None:
    options = {"sasl.password": "hunter2", "sasl.username": "bob"}
    async with started(producer_options=options):
        body = (await kafka_manager.health()).as_dict()
        names = {field.name for field in dataclasses.fields(KafkaHealth)}
        assert json.loads(json.dumps(body)).keys() == names
        assert "hunter2" not in json.dumps(body)


async def test_counts_what_waits_and_what_is_under_way() -> None:
    async with started(queue_max_messages=4) as broker:
        await publish()
        broker.round_trip_ms = 300
        tasks = publishes(10)
        await asyncio.sleep(0.05)
        health = await kafka_manager.health()
        broker.round_trip_ms = 0
        assert health.in_flight > 0
        assert health.queued > 0
        assert health.in_flight + health.queued <= 10
        await asyncio.gather(*tasks)


async def test_before_the_start_and_after_the_stop() -> None:
    async with started():
        await kafka_manager.stop()
        health = await kafka_manager.health()
        assert not health
        assert (health.brokers, health.latency_ms) == (0, None)
        assert "stopped" in health.last_error


async def test_while_connecting() -> None:
    config = KafkaConfig(bootstrap_servers=f"{HOST}:{free_port()}", retry_delay_seconds=0, max_connection_retries=100)
    starting = asyncio.create_task(kafka_manager.start(config))
    await eventually(lambda: bool(native_threads()), 3)
    health = await kafka_manager.health()
    assert not starting.done()
    assert (health.healthy, health.brokers, health.latency_ms) == (False, 0, None)
    assert "await kafka_manager.start()" in health.last_error
    await kafka_manager.stop()
    await asyncio.gather(starting, return_exceptions=True)


async def test_while_stopping_everybody_is_told_so_at_once() -> None:
    async with started() as broker:
        await publish()
        broker.round_trip_ms = 1000
        tasks = publishes(1)
        await asyncio.sleep(0)
        before = asyncio.create_task(kafka_manager.health())
        stopping = asyncio.create_task(kafka_manager.stop())
        for health in (await before, await kafka_manager.health()):
            assert not health
            assert "stopped" in health.last_error
        assert not stopping.done()
        broker.round_trip_ms = 0
        assert (await stopping).delivered == 1
        await asyncio.gather(*tasks)


async def test_of_a_cluster_that_is_down_names_the_refused_broker() -> None:
    async with started() as broker:
        broker.broker_down()
        await asyncio.sleep(0.1)
        health = await kafka_manager.health(3)
        assert not health
        assert health.latency_ms is None
        assert broker.bootstrap_servers in health.last_error
        assert "refused" in health.last_error


@pytest.mark.parametrize("timeout", [0, 0.2, 1.0])
async def test_is_bounded_by_its_timeout(timeout: float) -> None:
    async with started() as broker:
        broker.round_trip_ms = 5000
        began = time.monotonic()
        health = await kafka_manager.health(timeout)
        assert time.monotonic() - began < timeout + 0.5
        assert not health
        assert health.last_error


async def test_200_concurrent_calls_share_one_question() -> None:
    async with started() as broker:
        broker.round_trip_ms = 200
        threads = sum(native_threads().values())
        began = time.monotonic()
        asked = asyncio.gather(*[kafka_manager.health() for _ in range(200)])
        await asyncio.sleep(0.1)
        assert sum(native_threads().values()) <= threads + 2
        assert all(await asked)
        assert time.monotonic() - began < 1.5


async def test_is_connected_follows_the_cluster_both_ways() -> None:
    async with started() as broker:
        assert kafka_manager.is_connected is True
        for _ in range(2):
            broker.broker_down()
            await eventually(lambda: not kafka_manager.is_connected, 10)
            assert kafka_manager.is_connected is False
            broker.broker_up()
            await eventually(lambda: kafka_manager.is_connected, 10)
        await publish()


async def test_is_connected_notices_a_cluster_that_falls_silent() -> None:
    """The connections stay open and nothing answers: a cable is cut, a machine is frozen."""
    async with started() as broker:
        broker.round_trip_ms = 60_000
        await eventually(lambda: not kafka_manager.is_connected, 10)


async def test_a_cluster_that_takes_no_event_is_not_well() -> None:
    async with started(request_timeout_ms=60_000) as broker:
        await publish()
        broker.fail_next("NOT_ENOUGH_REPLICAS", 16)  # with pauses of up to a second between retries
        publishing = asyncio.create_task(publish())
        await eventually(lambda: not kafka_manager.is_connected, 12)
        health = await kafka_manager.health()
        assert not health
        assert "acknowledged no event for" in (health.last_error or "")
        await publishing
        await eventually(lambda: kafka_manager.is_connected, 10)
        assert await kafka_manager.health()
