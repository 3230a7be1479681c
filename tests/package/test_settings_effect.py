"""Every field of KafkaConfig has its effect: in librdkafka's own configuration, or in what happens."""

import asyncio
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from kafka_email import KafkaConfig, KafkaTimeoutError, MessageTooLargeError, OAuthToken, kafka_manager
from support.kafka.certificates import KEY_PASSWORD, Certificates
from support.package.embedded import TOPIC, publish, publishes, started
from support.ports import HOST, free_port

PASSWORD = "pass-4711-word"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "kafka_email.librdkafka")
    return caplog


def properties(log: pytest.LogCaptureFixture) -> dict[str, str]:
    """The properties that librdkafka says it runs with; it leaves out those at their default."""
    pairs = (record.message.partition("]:")[2].partition(" = ") for record in log.records)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


async def configured(log: pytest.LogCaptureFixture, **settings: Any) -> dict[str, str]:
    """The properties of a producer that needs no broker."""
    options = {"debug": "conf", **settings.pop("producer_options", {})}
    server = f"{HOST}:{free_port()}"
    config = KafkaConfig(**{"bootstrap_servers": server, "producer_options": options, **settings}, required=False)
    starting = asyncio.create_task(kafka_manager.start(config))
    deadline = time.monotonic() + 10
    try:
        while "partitioner" not in properties(log):
            assert time.monotonic() < deadline, log.text
            assert not starting.done() or starting.exception() is None, starting.exception()
            await asyncio.sleep(0.01)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await kafka_manager.stop(0.1)
    return properties(log)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"bootstrap_servers": "127.0.0.1:1,127.0.0.1:2"}, {"metadata.broker.list": "127.0.0.1:1,127.0.0.1:2"}),
        ({"client_id": "shop"}, {"client.id": "shop"}),
        ({"acks": "1"}, {"request.required.acks": "1", "enable.idempotence": "false"}),
        ({"acks": 0}, {"request.required.acks": "0", "enable.idempotence": "false"}),
        ({"acks": "all"}, {"request.required.acks": "-1", "enable.idempotence": "true"}),
        ({"retries": 0}, {"message.send.max.retries": "0", "enable.idempotence": "false"}),
        ({"retries": 1}, {"message.send.max.retries": "2147483647", "enable.idempotence": "true"}),
        ({"max_in_flight_requests": 2}, {"max.in.flight.requests.per.connection": "2"}),
        ({"compression_type": "zstd"}, {"compression.codec": "zstd"}),
        ({"compression_type": "none"}, {"compression.codec": "none"}),
        ({}, {"compression.codec": "gzip", "queue.buffering.max.ms": "0", "sticky.partitioning.linger.ms": "10"}),
        ({"batching": "linger"}, {"queue.buffering.max.ms": "10", "batch.size": "16384"}),
        ({"linger_ms": 25.5}, {"queue.buffering.max.ms": "25.5"}),
        ({"batch_size": 5000}, {"batch.size": "5000"}),
        ({"max_request_size": 123_456}, {"message.max.bytes": "123456"}),
        ({"request_timeout_ms": 12_000}, {"message.timeout.ms": "11000", "request.timeout.ms": "11000"}),
        ({"request_timeout_ms": 1000}, {"message.timeout.ms": "500"}),
        ({"queue_max_messages": 77}, {"queue.buffering.max.messages": "77"}),
        ({"queue_max_bytes": 2 * 1_048_576}, {"queue.buffering.max.kbytes": "2048"}),
        (
            {"producer_options": {"linger.ms": "7", "client.id": "mine"}},
            {"queue.buffering.max.ms": "7", "client.id": "mine"},
        ),
        ({}, {"partitioner": "murmur2_random"}),
    ],
    ids=str,
)
async def test_a_field_reaches_librdkafka(
    settings: dict[str, Any], expected: dict[str, str], log: pytest.LogCaptureFixture
) -> None:
    actual = await configured(log, **settings)
    assert {name: actual.get(name) for name in expected} == expected


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_credentials_reach_librdkafka_and_the_password_no_log(
    mechanism: str, log: pytest.LogCaptureFixture
) -> None:
    sasl = {"sasl_mechanism": mechanism, "sasl_username": "bob", "sasl_password": PASSWORD}
    actual = await configured(log, security_protocol="SASL_PLAINTEXT", **sasl)
    assert actual["security.protocol"] == "sasl_plaintext"
    assert actual["sasl.mechanisms"] == mechanism
    assert actual["sasl.username"] == actual["sasl.password"] == "[redacted]"  # by librdkafka; absent when not set
    assert PASSWORD not in log.text


async def test_an_oauth_provider_is_asked(log: pytest.LogCaptureFixture) -> None:
    asked = 0

    async def provider() -> OAuthToken:
        nonlocal asked
        asked += 1
        return OAuthToken(PASSWORD, 60)

    actual = await configured(
        log, security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_provider=provider
    )
    assert actual["sasl.mechanisms"] == "OAUTHBEARER"
    assert asked == 1
    assert PASSWORD not in log.text


async def test_certificates_reach_librdkafka(certificates: Certificates, log: pytest.LogCaptureFixture) -> None:
    files: dict[str, Path] = {
        "ssl_cafile": certificates.ca_file,
        "ssl_certfile": certificates.client_cert_file,
        "ssl_keyfile": certificates.client_locked_key_file,
    }
    actual = await configured(log, security_protocol="SSL", ssl_key_password=KEY_PASSWORD, **files)
    assert actual["ssl.ca.location"] == str(files["ssl_cafile"])
    assert actual["ssl.certificate.location"] == str(files["ssl_certfile"])
    assert actual["ssl.key.location"] == actual["ssl.key.password"] == "[redacted]"
    assert KEY_PASSWORD not in log.text


async def test_without_a_ca_file_the_ones_of_the_system_are_found(log: pytest.LogCaptureFixture) -> None:
    assert (await configured(log, security_protocol="SSL"))["ssl.ca.location"] == "probe"


async def test_the_client_id_is_the_source_of_the_events() -> None:
    async with started(client_id="shop") as broker:
        await publish()
        assert broker.records(TOPIC)[0].headers["ce_source"] == "shop"


async def test_the_email_topic_is_where_events_go() -> None:
    async with started(email_topic="mails") as broker:
        assert (await publish()).topic == "mails"
        assert len(broker.records("mails")) == 1


@pytest.mark.parametrize(("acks", "offset_is_known"), [("all", True), (1, True), (0, False)])
async def test_acks_decide_whether_the_offset_is_known(acks: object, offset_is_known: bool) -> None:
    async with started(acks=acks) as broker:
        await publish()
        assert ((await publish()).offset == 1) is offset_is_known
        await kafka_manager.stop()
        assert len(broker.records(TOPIC)) == 2


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_in_the_build_and_can_be_read(compression: str) -> None:
    async with started(compression_type=compression) as broker:
        await publish("x" * 100_000)
        assert broker.records(TOPIC)[0].value["username"] == "x" * 100_000


@pytest.mark.parametrize("settings", [{"batching": "linger", "linger_ms": 500}, {"linger_ms": 500}], ids=str)
async def test_lingering_delays_a_lone_event(settings: dict[str, Any]) -> None:
    async with started(**settings):
        await publish()
        began = time.monotonic()
        await publish()
        assert 0.45 < time.monotonic() - began < 1.5


async def test_adaptive_batching_delays_nobody() -> None:
    async with started(linger_ms=10, batching="adaptive"):
        await publish()
        began = time.monotonic()
        for _ in range(20):
            await publish()
        assert time.monotonic() - began < 20 * 0.01


async def test_the_largest_request_is_the_configured_one() -> None:
    async with started(max_request_size=2_000_000):
        await publish("x" * 1_900_000)
        with pytest.raises(MessageTooLargeError, match="2000000"):
            await publish("x" * 2_000_000)


async def test_the_deadline_is_the_configured_one() -> None:
    async with started(request_timeout_ms=700) as broker:
        await publish()
        broker.round_trip_ms = 5000
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match="request_timeout_ms=700"):
            await publish()
        assert 0.3 < time.monotonic() - began < 1.2


async def test_the_queue_holds_what_is_configured() -> None:
    async with started(queue_max_messages=3) as broker:
        await publish()
        broker.round_trip_ms = 300
        tasks = publishes(10)
        await asyncio.sleep(0.05)
        health = await kafka_manager.health(0)
        broker.round_trip_ms = 0
        assert dataclasses.astuple(health)[4:6] == (7, 3)
        await asyncio.gather(*tasks)
