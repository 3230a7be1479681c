"""What is logged, what never is, and what an application's filter may do to it."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from kafka_email import BasePublisher, EmailPublisher, KafkaError, MessageTooLargeError, _logging, kafka_manager
from support.package.embedded import ADDRESS, TOPIC, eventually, publish, publishes, started
from support.ports import HOST, free_port

SENTINELS = {
    "email": "sentinel.address@gmail.com",
    "username": "sentinel-username",
    "reset_link": "https://sentinel.example/?token=sentinel-token",
    "metadata": {"sentinel-name": "sentinel-value"},
}


@pytest.fixture(autouse=True)
def _no_failures_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logging, "_failures", {})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "kafka_email")
    return caplog


def of(log: pytest.LogCaptureFixture, logger: str) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == f"kafka_email.{logger}"]


async def test_the_life_cycle_at_info(log: pytest.LogCaptureFixture) -> None:
    async with started() as broker:
        server = broker.bootstrap_servers
        await kafka_manager.stop()
    assert [(record.levelname, record.kafka_email_event) for record in of(log, "manager")] == [
        ("INFO", "started"),
        ("INFO", "stopped"),
    ]
    assert server in log.records[0].message


async def test_one_debug_line_for_each_event(log: pytest.LogCaptureFixture) -> None:
    async with started():
        stored = await EmailPublisher().publish_password_reset_email(ADDRESS, "Ann", "/reset")
        await BasePublisher("user-events").publish({"name": "Ann"})
    first, second = of(log, "events")
    assert (first.levelname, first.kafka_email_event, first.kafka_email_event_type) == (
        "DEBUG",
        "delivered",
        "password_reset",
    )
    assert first.kafka_email_event_id == stored.event_id
    for part in (stored.event_id, TOPIC, f"[{stored.partition}]", f"offset {stored.offset}"):
        assert part in first.message
    assert "password" not in first.message
    assert second.kafka_email_event_type == "user-events"


async def test_at_info_events_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    async with started():
        await publish()
        assert not of(caplog, "events")
        assert not of(caplog, "librdkafka")


async def test_an_event_refused_at_once_is_logged_as_well(log: pytest.LogCaptureFixture) -> None:
    async with started(max_request_size=1000):
        with pytest.raises(MessageTooLargeError) as caught:
            await publish("x" * 1000)
    (record,) = [record for record in of(log, "events") if record.levelname == "ERROR"]
    assert caught.value.event_id in record.getMessage()
    assert record.kafka_email_event_type == "welcome"


async def test_a_failure_once_at_error(log: pytest.LogCaptureFixture) -> None:
    async with started() as broker:
        broker.fail_next("POLICY_VIOLATION")
        with pytest.raises(KafkaError) as caught:
            await publish()
    (record,) = of(log, "events")
    assert (record.levelname, record.kafka_email_event, record.kafka_email_code) == (
        "ERROR",
        "failed",
        "POLICY_VIOLATION",
    )
    assert record.kafka_email_event_type == "welcome"
    assert caught.value.event_id in record.message
    assert TOPIC in record.message


async def test_a_failure_that_nobody_waits_for_any_more_is_logged_too(log: pytest.LogCaptureFixture) -> None:
    async with started(request_timeout_ms=500) as broker:
        broker.broker_down()
        task = asyncio.create_task(publish())
        await asyncio.sleep(0.05)
        task.cancel()
        await eventually(lambda: bool(of(log, "events")), 2)
    assert of(log, "events")[0].levelname == "ERROR"


def errors(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in of(log, "events") if record.levelname == "ERROR"]


async def test_a_broken_cluster_gets_one_line_and_then_a_count(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(request_timeout_ms=500) as broker:
        broker.broker_down()
        for _ in range(2):
            await asyncio.gather(*publishes(20), return_exceptions=True)
        assert len(errors(log)) == 1
        monkeypatch.setattr(_logging, "_REPEAT_S", 0)
        await asyncio.gather(*publishes(1), return_exceptions=True)
        _, second = errors(log)
        assert "39 more failed" in second.message


async def test_refused_events_get_one_line_for_each_code_and_the_others_at_debug(
    log: pytest.LogCaptureFixture,
) -> None:
    async with started(max_in_flight_requests=1, max_request_size=1000) as broker:
        for code in ("POLICY_VIOLATION", "TOPIC_AUTHORIZATION_FAILED"):
            for _ in range(5):
                broker.fail_next(code)
                with pytest.raises(KafkaError):
                    await publish()
        for _ in range(5):
            with pytest.raises(MessageTooLargeError):
                await publish("x" * 1000)
        failed = [record for record in of(log, "events") if record.kafka_email_event == "failed"]
    codes = ["POLICY_VIOLATION", "TOPIC_AUTHORIZATION_FAILED", "MESSAGE_TOO_LARGE"]
    assert [record.kafka_email_code for record in errors(log)] == codes
    assert len(failed) == 15
    assert len({record.kafka_email_event_id for record in failed}) == 15


async def test_an_outage_and_its_end_one_line_each(log: pytest.LogCaptureFixture) -> None:
    async with started() as broker:
        broker.broker_down()
        await eventually(lambda: not kafka_manager.is_connected, 10)
        await asyncio.sleep(1.5)
        broker.broker_up()
        await eventually(lambda: kafka_manager.is_connected, 10)
        await eventually(lambda: of(log, "manager")[-1].kafka_email_event == "kafka_recovered", 1)
        lines = [(record.levelname, record.kafka_email_event) for record in of(log, "manager")]
    assert lines == [("INFO", "started"), ("ERROR", "kafka_unreachable"), ("INFO", "kafka_recovered")]


async def test_nothing_personal_and_no_secret_at_any_level(log: pytest.LogCaptureFixture) -> None:
    options = {"debug": "all", "sasl.username": "bob", "sasl.password": "sentinel-password"}
    async with started(request_timeout_ms=800, max_request_size=3000, producer_options=options) as broker:
        publisher = EmailPublisher()
        await publisher.publish_password_reset_email(**SENTINELS, headers={"tenant": "sentinel-header"})
        too_large = {**SENTINELS, "username": "sentinel-username" * 1000}
        broker.fail_next("POLICY_VIOLATION")
        for arguments in (SENTINELS, too_large):
            with pytest.raises(KafkaError) as caught:
                await publisher.publish_password_reset_email(**arguments)
            assert "sentinel" not in f"{caught.value!r}{caught.value.__dict__}"
        broker.broker_down()
        with pytest.raises(KafkaError):
            await publisher.publish_password_reset_email(**SENTINELS)
    assert len(of(log, "librdkafka")) > 100
    assert not [record.message for record in log.records if "sentinel" in f"{record.message}{record.__dict__}".lower()]


async def test_records_have_no_arguments(log: pytest.LogCaptureFixture) -> None:
    async with started(producer_options={"debug": "broker"}) as broker:
        await publish()
        broker.fail_next("POLICY_VIOLATION")
        await asyncio.gather(publish(), return_exceptions=True)
    assert {record.levelname for record in log.records} >= {"DEBUG", "INFO", "ERROR"}
    assert not [record for record in log.records if record.args]


@pytest.fixture
def rewritten() -> Iterator[list[str]]:
    """Lines as an application's handler formats them behind a filter that hides whole messages."""
    lines: list[str] = []

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if any(word in record.getMessage() for word in ("password", "token", "secret", "event", "started", "%")):
                record.msg = "[100% hidden]"
            return True

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Handler()
    handler.addFilter(Filter())
    logger = logging.getLogger("kafka_email")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


async def test_a_filter_may_rewrite_the_message(log: pytest.LogCaptureFixture, rewritten: list[str]) -> None:
    async with started():
        await publish()
    assert rewritten.count("[100% hidden]") == 3


async def test_a_handler_that_fails_does_not_lose_a_result() -> None:
    """The loop hears of its error, as of that of any callback."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    logger, broken = logging.getLogger("kafka_email.events"), Broken()
    logger.addHandler(broken)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with started():
            errors: list[Exception] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
            results = await asyncio.wait_for(asyncio.gather(*publishes(3)), 3)
        assert [result.offset for result in results] == [0, 1, 2]
        assert [type(error) for error in errors] == [ZeroDivisionError] * 3
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
        logger.removeHandler(broken)
        logger.setLevel(level)


async def test_start_without_kafka_is_one_line(log: pytest.LogCaptureFixture) -> None:
    server = f"{HOST}:{free_port()}"
    async with started(bootstrap_servers=server, required=False):
        assert not kafka_manager.is_connected
    assert [(record.levelname, record.kafka_email_event) for record in of(log, "manager")] == [
        ("ERROR", "kafka_unreachable"),
        ("INFO", "started"),
        ("INFO", "stopped"),
    ]
    assert server in log.records[0].message


@pytest.mark.parametrize(
    "options", [{"enable.ssl.certificate.verification": "false"}, {"ssl.endpoint.identification.algorithm": "none"}]
)
async def test_tls_that_is_not_verified_is_a_warning(log: pytest.LogCaptureFixture, options: dict[str, str]) -> None:
    async with started(producer_options=options):
        (record, _) = of(log, "manager")
    assert (record.levelname, record.kafka_email_event) == ("WARNING", "tls_not_verified")
