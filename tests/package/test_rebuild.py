"""A client that died cannot be built again for a while: publishes raise, and all is well when the cause is gone."""

import asyncio
import logging
import time
from pathlib import Path

import pytest

from kafka_email import KafkaConfig, KafkaError, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.kafka.certificates import Certificates
from support.package.embedded import eventually, publish, usernames
from support.package.tls import behind_tls

DEADLINE_S = 2.0


async def failure_within_the_deadline() -> KafkaError:
    began = time.monotonic()
    with pytest.raises(KafkaError) as caught:
        await publish("lost")
    assert time.monotonic() - began < DEADLINE_S + 0.5
    return caught.value


def of(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if event in record.__dict__.values()]


@pytest.mark.parametrize(
    ("field", "option"), [("ssl_cafile", "ssl.ca.location"), ("ssl_certfile", "ssl.certificate.location")]
)
async def test_a_certificate_file_that_is_missing_when_the_client_is_built_again(
    field: str, option: str, certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    files = {
        "ssl_cafile": certificates.ca_file,
        "ssl_certfile": certificates.client_cert_file,
        "ssl_keyfile": certificates.client_key_file,
    }
    needed, elsewhere = tmp_path / "needed.pem", tmp_path / "elsewhere.pem"
    needed.write_bytes(files[field].read_bytes())
    files[field] = needed
    told = f'"{needed}" of {field}', option
    async with EmbeddedBroker() as broker, behind_tls(broker, certificates.server_file) as address:
        options = {"enable.gapless.guarantee": "true"}  # lets librdkafka give up at the code below
        config = KafkaConfig(
            bootstrap_servers=address,
            security_protocol="SSL",
            request_timeout_ms=int(DEADLINE_S * 1000),
            producer_options=options,
            **files,
        )
        await kafka_manager.start(config)
        try:
            await publish("before")
            needed.rename(elsewhere)
            broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER")
            await failure_within_the_deadline()
            await eventually(lambda: not kafka_manager.is_connected, 2)
            for _ in range(3):  # meanwhile it is tried again, in vain
                error = await failure_within_the_deadline()
                health = await kafka_manager.health()
                assert not health
                assert not kafka_manager.is_connected
                assert all(words in str(error) for words in told)
                assert all(words in (health.last_error or "") for words in told)
                await asyncio.sleep(0.5)
            lost = len(of(caplog, "producer_lost"))
            elsewhere.rename(needed)
            # The pauses between attempts double from a second on.
            await eventually(lambda: bool(of(caplog, "producer_rebuilt")) or kafka_manager.is_connected, 10)
            await publish("after")
            await eventually(lambda: kafka_manager.is_connected, 10)
            assert await kafka_manager.health()
            assert lost == 1, "the line is repeated every 30 s"
            assert usernames(broker) == ["before", "after"]
        finally:
            await kafka_manager.stop(0.1)
