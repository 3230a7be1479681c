"""An application that has nothing to say for a while, and a Kafka that closes connections nobody uses."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from kafka_email import BasePublisher, KafkaConfig, kafka_manager
from support.kafka.cluster import KafkaCluster
from support.package.health import always_connected, health_becomes, told

REAPED_AFTER_MS = 1000
"""Kafka's default is 10 minutes (`connections.max.idle.ms`)."""
IDLE_S = 15.0
"""For more than one look of the manager's own at the cluster."""


async def test_connections_that_the_broker_closes_are_no_news(
    make_kafka: Callable[..., KafkaCluster], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kafka_email")
    with make_kafka(properties={"connections.max.idle.ms": str(REAPED_AFTER_MS)}) as kafka:
        servers, topic = kafka.bootstrap_servers, kafka.create_topic()
        await kafka_manager.start(KafkaConfig(bootstrap_servers=servers, producer_options={"debug": "broker"}))
        try:
            await BasePublisher(topic).publish({"n": 1})
            async with always_connected():
                await asyncio.sleep(IDLE_S)
                assert (await kafka_manager.health()).healthy
                await asyncio.wait_for(BasePublisher(topic).publish({"n": 2}), 1)
            assert "connection closed by peer" in caplog.text, "the broker closed none"
            assert [record.kafka_email_event for record in caplog.records if record.name == "kafka_email.manager"] == [
                "started"
            ]
            kafka.kill()
            await told(connected=False)
            await health_becomes(lambda health: not health.healthy)
            await asyncio.to_thread(kafka.start)
            await told(connected=True)
            await health_becomes(lambda health: health.healthy)
        finally:
            await kafka_manager.stop()
