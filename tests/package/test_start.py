"""start(): connects once, within bounds, or says why not and leaves nothing behind."""

import asyncio
import gc
import logging
import socket
import time
from collections.abc import AsyncIterator

import pytest

from kafka_email import (
    ConfigurationError,
    KafkaConfig,
    KafkaConnectionError,
    KafkaManager,
    NotStartedError,
    ProducerClosedError,
    get_kafka_manager,
    kafka_config,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, eventually, in_threads, native_threads, publish, started, ticking
from support.ports import HOST, free_port


@pytest.fixture(autouse=True)
async def _stopped_afterwards() -> AsyncIterator[None]:
    # Clients of earlier tests that only a traceback still holds.
    gc.collect()
    yield
    await kafka_manager.stop(0.1)
    await eventually(lambda: not native_threads(), 3)


def unreachable(**settings) -> KafkaConfig:
    defaults = {"max_connection_retries": 1, "retry_delay_seconds": 0}
    return KafkaConfig(**{"bootstrap_servers": f"{HOST}:{free_port()}", **defaults, **settings})


async def refuse(config: KafkaConfig) -> KafkaConnectionError:
    with pytest.raises(KafkaConnectionError) as caught:
        await kafka_manager.start(config)
    assert not kafka_manager.is_connected
    return caught.value


async def test_connects_and_publishes() -> None:
    async with started():
        assert kafka_manager.is_connected is True
        assert (await publish()).offset == 0


async def test_started_already_it_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with started() as broker:
        caplog.set_level(logging.INFO, "kafka_email")
        caplog.clear()
        await kafka_manager.start(config_for(broker))
        await KafkaManager().start(config_for(broker))
        assert native_threads()["kafka-email-pol"] == 1
        assert not caplog.records


async def test_started_already_with_another_configuration_it_warns(caplog: pytest.LogCaptureFixture) -> None:
    async with started() as broker:
        await kafka_manager.start(config_for(broker, acks=1))
        assert [(record.levelname, record.kafka_email_event) for record in caplog.records] == [
            ("WARNING", "already_started")
        ]
        assert kafka_manager.config.acks == "all"
        await publish()


async def test_concurrent_calls_connect_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    async with EmbeddedBroker(round_trip_ms=100) as broker:
        await asyncio.gather(*[kafka_manager.start(config_for(broker)) for _ in range(20)])
        assert native_threads()["kafka-email-pol"] == 1
        assert [record.kafka_email_event for record in caplog.records] == ["started"]
        await publish()


def test_calls_in_several_loops_and_threads_connect_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")

    async def start_and_publish() -> None:
        await kafka_manager.start(config_for(broker))
        await publish()

    with EmbeddedBroker(round_trip_ms=100) as broker:
        in_threads(4, lambda: asyncio.run(start_and_publish()))
        assert native_threads()["kafka-email-pol"] == 1
        assert [record.kafka_email_event for record in caplog.records] == ["started"]


async def test_cancelled_it_ends_at_once_and_leaves_no_thread() -> None:
    task = asyncio.create_task(kafka_manager.start(unreachable(max_connection_retries=100)))
    await asyncio.sleep(0.3)
    assert native_threads()
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.3
    await eventually(lambda: not native_threads(), 3)


async def test_cancelled_by_one_it_goes_on_for_the_other() -> None:
    async with EmbeddedBroker(round_trip_ms=200) as broker:
        first, second = (asyncio.create_task(kafka_manager.start(config_for(broker))) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        await second
        assert first.cancelled()
        assert kafka_manager.is_connected
        broker.round_trip_ms = 0
        await publish()


async def test_stop_ends_a_start_under_way() -> None:
    task = asyncio.create_task(kafka_manager.start(unreachable(max_connection_retries=100)))
    await asyncio.sleep(0.2)
    await kafka_manager.stop()
    with pytest.raises(ProducerClosedError):
        await asyncio.wait_for(task, 2)


async def test_a_refused_connection_names_every_broker() -> None:
    ports = [free_port() for _ in range(3)]
    error = await refuse(unreachable(bootstrap_servers=[f"{HOST}:{port}" for port in ports], max_connection_retries=3))
    for port in ports:
        assert f"{HOST}:{port}/bootstrap" in str(error)
    assert str(error).lower().count("refused") >= 3
    assert (error.code, error.retriable, error.maybe_delivered, error.topic) == ("NETWORK_EXCEPTION", True, False, None)
    assert isinstance(error, ConnectionError)


async def test_attempts_are_counted() -> None:
    assert "after 3 attempts" in str(await refuse(unreachable(max_connection_retries=3)))
    assert "after 1 attempt:" in str(await refuse(unreachable(max_connection_retries=1)))


async def test_pauses_between_attempts_double() -> None:
    began = time.monotonic()
    error = await refuse(unreachable(max_connection_retries=3, retry_delay_seconds=1.5))
    assert "after 3 attempts" in str(error)
    assert time.monotonic() - began > 1.5 + 3


async def test_a_broker_that_never_answers_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as blackhole:
        server = f"{HOST}:{blackhole.getsockname()[1]}"
        async with ticking() as pauses:
            began = time.monotonic()
            error = await refuse(unreachable(bootstrap_servers=server))
        assert time.monotonic() - began < 10
        assert server in str(error)
        assert max(pauses) < 0.5


async def test_a_name_that_does_not_resolve() -> None:
    error = await refuse(unreachable(bootstrap_servers="nosuch.invalid:9092"))
    assert "resolve" in str(error)
    assert "nosuch.invalid:9092" in str(error)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"no.such.property": "hunter2"}, "no.such.property"),
        ({"statistics.interval.ms": "hunter2"}, "statistics.interval.ms"),
        ({"sasl.mechanism": "hunter2", "security.protocol": "SASL_PLAINTEXT"}, ""),
        ({"ssl.key.pem": "hunter2", "security.protocol": "SSL"}, ""),
        ({"enable.idempotence": "true", "acks": "1"}, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
async def test_wrong_producer_options_fail_at_once_without_showing_the_value(
    options: dict[str, str], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kafka_email")
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        await kafka_manager.start(unreachable(max_connection_retries=100, producer_options=options))
    assert time.monotonic() - began < 1
    assert named in str(caught.value)
    assert caught.value.code == "INVALID_CONFIG"
    assert "hunter2" not in f"{caught.value!r}{caught.value.__dict__}{caught.value.__context__!r}{caplog.text}"


async def test_after_a_failed_start_publishing_fails_and_starting_again_works() -> None:
    await refuse(unreachable())
    with pytest.raises((NotStartedError, ProducerClosedError)):  # the latter if another test has stopped it before
        await publish()
    async with started():
        await publish()


async def test_starting_again_after_stop_takes_the_new_configuration() -> None:
    async with started() as broker:
        await publish()
        await kafka_manager.stop()
        await kafka_manager.start(config_for(broker, email_topic="other-events"))
        assert (await publish()).topic == "other-events"


async def test_kafka_that_is_not_required_is_connected_to_in_the_background(caplog: pytest.LogCaptureFixture) -> None:
    async with EmbeddedBroker() as broker:
        broker.broker_down()
        began = time.monotonic()
        await kafka_manager.start(config_for(broker, required=False, request_timeout_ms=20_000))
        assert time.monotonic() - began < 8
        assert not kafka_manager.is_connected
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        waiting = [asyncio.create_task(publish()) for _ in range(5)]
        await asyncio.sleep(0.2)
        broker.broker_up()
        await eventually(lambda: kafka_manager.is_connected, 10)
        assert [stored.offset for stored in await asyncio.gather(*waiting)] == [0, 1, 2, 3, 4]


async def test_get_kafka_manager_starts_and_leaves_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedBroker() as broker:
        monkeypatch.setattr(kafka_config, "bootstrap_servers", broker.bootstrap_servers)
        async with get_kafka_manager() as manager:
            assert manager is kafka_manager
            assert manager.is_connected
        async with get_kafka_manager() as manager:
            await manager.send_event("user-events", {"name": "Ann"})
        assert kafka_manager.is_connected
