"""A Kafka that names addresses at which nobody listens: `advertised.listeners` is wrong."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from kafka_email import EmailPublisher, KafkaConfig, KafkaTimeoutError, kafka_manager
from support.kafka.cluster import KafkaCluster
from support.package.health import told
from support.ports import HOST, free_port


async def test_an_address_that_refuses_is_named_and_nothing_counts_as_well(
    make_kafka: Callable[..., KafkaCluster], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    refusing = free_port()
    with make_kafka(advertised={"PLAINTEXT": refusing}) as kafka:
        await kafka_manager.start(KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=2000))
        try:
            for _ in range(2):
                with pytest.raises(KafkaTimeoutError, match=f"{HOST}:{refusing}.*Connection refused"):
                    await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
                health = await kafka_manager.health()
                assert not health
                assert f"{HOST}:{refusing}" in (health.last_error or "")
            await told(connected=False)
            # Nothing is outstanding, so nothing but a healthy broker may end the outage.
            await asyncio.sleep(5)
            assert not kafka_manager.is_connected
        finally:
            await kafka_manager.stop()
        lines = {
            record.kafka_email_event: record.getMessage()
            for record in caplog.records
            if record.name == "kafka_email.manager"
        }
        assert "kafka_recovered" not in lines
        assert f"{HOST}:{refusing}" in lines["kafka_unreachable"]
