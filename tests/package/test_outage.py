"""What an outage costs: connects, processor time and log lines, whatever is asked meanwhile."""

import asyncio
import logging
import time

import pytest

from kafka_email import KafkaConfig, kafka_manager
from kafka_email._core import metrics
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, publish
from support.ports import HOST, free_port

WINDOW_S = 10.5
# librdkafka's statistics count its attempts to connect, up to this long after they were made.
STATISTICS_S = 5.0
# librdkafka alone makes two or three a second: for its metadata, and for its producer id.
CONNECTS_A_SECOND = 5
PROCESSOR_SHARE = 0.1


async def ask(how: str) -> None:
    end = time.monotonic() + WINDOW_S
    publishes = set()
    while time.monotonic() < end:
        if how == "health":
            assert not await kafka_manager.health(timeout=1.0)
        if how == "publish":
            publishes.add(asyncio.create_task(publish()))
        await asyncio.sleep(0.05)
    for task in publishes:
        task.cancel()
    await asyncio.gather(*publishes, return_exceptions=True)


async def assert_cheap(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    connects, processor = metrics().connects, time.process_time()
    await ask(how)
    connects, processor = metrics().connects - connects, time.process_time() - processor
    assert connects <= CONNECTS_A_SECOND * (WINDOW_S + STATISTICS_S)
    assert processor <= PROCESSOR_SHARE * WINDOW_S
    lines = [record for record in caplog.records if record.name == "kafka_email.manager"]
    assert len(lines) <= 1, [record.getMessage() for record in lines]


@pytest.mark.parametrize("how", ["nothing", "publish"])
async def test_brokers_that_never_answered(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    servers = [f"{HOST}:{free_port()}" for _ in range(1 if how == "nothing" else 3)]
    await kafka_manager.start(KafkaConfig(bootstrap_servers=servers, required=False))
    try:
        await assert_cheap(how, caplog)
    finally:
        await kafka_manager.stop(0.1)


@pytest.mark.parametrize("how", ["health", "publish"])
async def test_a_cluster_that_went_away(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    async with EmbeddedBroker(3) as broker:
        await kafka_manager.start(config_for(broker, request_timeout_ms=3000))
        try:
            await publish()
            broker.broker_down()
            await asyncio.sleep(1.0)  # the first of the lines that are repeated every 30 s
            await assert_cheap(how, caplog)
            broker.broker_up()
            returned = time.monotonic()
            while not kafka_manager.is_connected:
                assert time.monotonic() - returned < 10.0
                await asyncio.sleep(0.05)
            await publish()
        finally:
            await kafka_manager.stop(0.1)


async def test_one_broker_of_three_that_went_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    async with EmbeddedBroker(3) as broker:
        await kafka_manager.start(config_for(broker))
        try:
            broker.broker_down(1)
            await assert_cheap("nothing", caplog)
            assert kafka_manager.is_connected
        finally:
            await kafka_manager.stop(0.1)
