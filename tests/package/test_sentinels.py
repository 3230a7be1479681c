"""Nothing personal and no secret gets out: each failure is provoked, and all that the package says is searched."""

import asyncio
import gc
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticSerializationError

from kafka_email import BasePublisher, EmailPublisher, KafkaConfig, KafkaError, OAuthToken, kafka_manager
from kafka_email.metrics import KafkaEmailCollector
from kafka_email.testing import EmbeddedBroker
from support.kafka.certificates import make_certificates
from support.package.embedded import config_for, eventually
from support.ports import HOST, free_port

MARK = "zq7x"
"""In everything that is personal or secret here, and in nothing else."""
EVENT = {
    "email": f"{MARK}.address@gmail.com",
    "username": f"{MARK}-username",
    "reset_link": f"https://{MARK}.example/reset?token={MARK}-token",
    "metadata": {f"{MARK}-name": [f"{MARK}-value", {"deep": f"{MARK}-deep"}]},
    "headers": {f"{MARK}-header": f"{MARK}-header-value", "tenant": f"{MARK}-bytes".encode()},
}
SECRETS = {
    "debug": "all",
    "sasl.username": "postman",
    "sasl.password": f"{MARK}-password",
    "ssl.key.password": f"{MARK}-key-password",
    "client.rack": SecretStr(f"{MARK}-rack"),  # no name of a secret, but the application says that it is one
}


class ProviderError(Exception):
    """The application's own, for its own eyes."""


NOT_OURS = (ValidationError, PydanticSerializationError, ProviderError)
"""What the caller gets as it is, and nobody else may see."""


class Ears:
    """Everything that the package says, by whatever way."""

    def __init__(
        self, log: pytest.LogCaptureFixture, screen: pytest.CaptureFixture[str], spans: InMemorySpanExporter
    ) -> None:
        self.errors: list[BaseException] = []
        self._log, self._screen, self._spans = log, screen, spans
        self._registry = CollectorRegistry()
        self._registry.register(KafkaEmailCollector())

    async def hears(self, publishing: Awaitable[Any]) -> None:
        """Waits for a failure."""
        try:
            await publishing
        except Exception as error:
            self.errors.append(error)
        else:
            pytest.fail("it did not fail")

    async def asks(self) -> list[str]:
        """What the package says when it is asked."""
        health = await kafka_manager.health(0.5)
        return [repr(kafka_manager), repr(health), str(health.as_dict()), generate_latest(self._registry).decode()]

    def everything(self) -> list[str]:
        """Log lines with all that hangs on them, spans, both streams and each error as it may be shown."""
        records = [f"{record.getMessage()} {record.__dict__}" for record in self._log.get_records("call")]
        spans = [span.to_json() for span in self._spans.get_finished_spans()]
        errors = [text for error in self.errors for text in _renderings(error)]
        return [*records, *spans, *self._screen.readouterr(), *errors]


def _renderings(error: BaseException | None) -> Iterator[str]:
    """An error in each form, and what led to it."""
    if error is None or isinstance(error, NOT_OURS):
        return
    yield from (str(error), repr(error), repr(error.args), repr(error.__dict__))
    yield "".join(traceback.format_exception(error, chain=False))
    yield from _renderings(error.__cause__)
    yield from _renderings(error.__context__)


@pytest.fixture
def ears(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], exporter: InMemorySpanExporter
) -> Iterator[Ears]:
    """At the end nothing that was heard holds a sentinel, and no log line a control character."""
    caplog.set_level(logging.DEBUG)
    ears = Ears(caplog, capfd, exporter)
    yield ears
    gc.collect()  # what is told when things are freed
    assert not [text for text in ears.everything() if MARK in text.lower()]
    ours = [record for record in caplog.get_records("call") if record.name != "kafka_email.librdkafka"]
    assert all(record.getMessage().isprintable() for record in ours)


@asynccontextmanager
async def started(ears: Ears, **settings: Any) -> AsyncIterator[EmbeddedBroker]:
    """The manager with secrets and all of librdkafka's debugging, after an event that went well."""
    settings = {"request_timeout_ms": 800, "max_request_size": 3000, "producer_options": SECRETS, **settings}
    async with EmbeddedBroker() as broker:
        config = config_for(broker, **settings)
        try:
            await kafka_manager.start(config)
            await request_reset()
            yield broker
            said = [repr(config), str(config), *await ears.asks()]
            assert not [text for text in said if MARK in text.lower()]
        finally:
            broker.round_trip_ms = 0
            await kafka_manager.stop(0.1)


async def request_reset(**changes: Any) -> Any:
    """Publishes an event that holds a sentinel wherever there is room for one."""
    return await EmailPublisher().publish_password_reset_email(**{**EVENT, **changes})


REFUSALS = [
    *("POLICY_VIOLATION", "TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "INVALID_RECORD"),
    *("MESSAGE_TOO_LARGE", "UNKNOWN_TOPIC_OR_PARTITION", "INVALID_TIMESTAMP", "UNKNOWN_PRODUCER_ID"),
    *("OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "KAFKA_STORAGE_ERROR", "REQUEST_TIMED_OUT"),
]


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_by_the_broker(ears: Ears, code: str) -> None:
    async with started(ears, retries=0) as broker:
        broker.fail_next(code, 20)
        await ears.hears(request_reset())
        await ears.hears(BasePublisher("user-events").publish({MARK: MARK}, key=MARK, headers={MARK: MARK}))


async def test_a_cluster_that_is_down(ears: Ears) -> None:
    async with started(ears) as broker:
        broker.broker_down()
        await ears.hears(request_reset())
        cancelled = asyncio.create_task(request_reset())
        await asyncio.sleep(0.05)
        cancelled.cancel()
        (failed,) = await EmailPublisher().publish_many([{"email_type": "welcome", **_payload()}])
        ears.errors.append(failed)
        await eventually(lambda: not kafka_manager.is_connected, 10)
        broker.broker_up()
        await eventually(lambda: kafka_manager.is_connected, 10)


def _payload() -> dict[str, Any]:
    return {"recipient": EVENT["email"], "username": EVENT["username"], "metadata": EVENT["metadata"]}


async def test_a_full_queue(ears: Ears) -> None:
    async with started(ears, queue_max_messages=1) as broker:
        broker.broker_down()
        waiting = [asyncio.create_task(request_reset()) for _ in range(3)]
        for publishing in waiting:
            await ears.hears(publishing)


async def test_an_event_that_is_too_large(ears: Ears) -> None:
    async with started(ears):
        await ears.hears(request_reset(username=MARK * 1000))


async def test_an_end_with_events_under_way(ears: Ears) -> None:
    async with started(ears, request_timeout_ms=5000) as broker:
        broker.broker_down()
        publishing = asyncio.create_task(request_reset())
        await asyncio.sleep(0.1)
        await kafka_manager.stop(0.1)
        await ears.hears(publishing)
        await ears.hears(request_reset())  # not started any more


async def test_no_start_before(ears: Ears) -> None:
    await ears.hears(request_reset())


INJECTED = f"{MARK}\r\nERROR kafka_email.manager: {MARK}"


@pytest.mark.parametrize(
    "changes",
    [
        {"email": f"{MARK}@localhost"},
        {"email": f"{INJECTED}@gmail.com"},
        {"username": INJECTED},
        {"username": f"{MARK}\udc80"},
        {"reset_link": [MARK]},
        {"metadata": {MARK: ...}},
        {"metadata": [MARK]},
        {"headers": {MARK: 1}},
        {"headers": {f"{MARK}\0": ""}},
        {"headers": {MARK: f"{MARK}\udc80"}},
        {"headers": {f"{MARK}\udc80": MARK}},
        {"headers": MARK},
    ],
    ids=ascii,
)
async def test_input_that_is_refused(ears: Ears, changes: dict[str, Any]) -> None:
    async with started(ears) as broker:
        await ears.hears(request_reset(**changes))
        assert len(broker.records("email-events")) == 1


@pytest.mark.parametrize("key", [f"{MARK}\udc80", [MARK], 7], ids=ascii)
@pytest.mark.parametrize("topic", ["user-events", INJECTED], ids=ascii)
async def test_keys_and_topics_that_are_refused(ears: Ears, key: Any, topic: str) -> None:
    async with started(ears):
        await ears.hears(kafka_manager.send_event(topic, {MARK: MARK}, key))


@pytest.mark.parametrize(
    "event", [MARK, [MARK], {MARK: object()}, {object(): MARK}], ids=["text", "list", "value", "name"]
)
async def test_events_that_are_refused(ears: Ears, event: Any) -> None:
    async with started(ears):
        await ears.hears(BasePublisher("user-events").publish(event))


async def test_line_breaks_that_kafka_takes_stay_in_their_record(ears: Ears) -> None:
    headers = {f"{MARK}\r\nname": f"{MARK}\r\nvalue"}
    async with started(ears) as broker:
        await request_reset(headers=headers, reset_link=f"/{INJECTED}", metadata={INJECTED: INJECTED})
        await BasePublisher("user-events").publish({"name": INJECTED}, key=INJECTED, headers=headers)
        broker.fail_next("POLICY_VIOLATION")
        await ears.hears(BasePublisher("user-events").publish({"name": INJECTED}, key=INJECTED, headers=headers))
        record = broker.records("email-events")[1]
        (other,) = broker.records("user-events")
    assert record.headers.items() >= headers.items() <= other.headers.items()
    assert (other.key, other.value) == (INJECTED, {"name": INJECTED})
    assert sum(name.startswith("ce_") for name in record.headers) == 4


async def _fails() -> OAuthToken:
    raise ProviderError(f"{MARK} was refused")


async def _is_no_token() -> Any:
    return {"token": MARK}


async def _is_too_old() -> OAuthToken:
    return OAuthToken(f"{MARK}.{MARK}.{MARK}", lifetime_s=0.0, principal=MARK)


async def _has_line_breaks() -> OAuthToken:
    return OAuthToken(INJECTED, lifetime_s=60.0, principal=INJECTED)


def oauth(provider: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_provider": provider,
        "producer_options": {"debug": "all"},
    }


def scram(protocol: str) -> dict[str, Any]:
    credentials = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "postman", "sasl_password": f"{MARK}-password"}
    return {"security_protocol": protocol, **credentials, "producer_options": {"debug": "all"}}


FAILING_STARTS: dict[str, dict[str, Any]] = {
    "nobody there": {"bootstrap_servers": f"{HOST}:{free_port()}", "max_connection_retries": 1},
    "no SASL there": scram("SASL_PLAINTEXT"),
    "no TLS there": scram("SASL_SSL"),
    "no such option": {"producer_options": {**SECRETS, "such.password": f"{MARK}-value"}},
    "an option that this librdkafka is built without": {
        "producer_options": {**SECRETS, "sasl.oauthbearer.assertion.private.key.passphrase": f"{MARK}-passphrase"}
    },
    "an option's value": {"producer_options": {**SECRETS, "sasl.oauthbearer.config": f"{MARK}\0", "acks": "none"}},
    "a key that is none": {"security_protocol": "SSL", "producer_options": {**SECRETS, "ssl.key.pem": MARK}},
    "an authority that is none": {"security_protocol": "SSL", "producer_options": {**SECRETS, "ssl.ca.pem": MARK}},
    "a provider that fails": oauth(_fails),
    "a provider of something else": oauth(_is_no_token),
    "a token past its life": oauth(_is_too_old),
    "a token with line breaks": oauth(_has_line_breaks),
}


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("settings", FAILING_STARTS.values(), ids=FAILING_STARTS.keys())
async def test_a_start_that_fails(ears: Ears, settings: dict[str, Any], required: bool) -> None:
    options = {"max_connection_retries": 2, "retry_delay_seconds": 0.1, "request_timeout_ms": 800, **settings}
    async with EmbeddedBroker() as broker:
        try:
            config = KafkaConfig(**{"bootstrap_servers": broker.bootstrap_servers, "required": required, **options})
            await kafka_manager.start(config)
            await ears.hears(request_reset())
        except KafkaError as error:
            ears.errors.append(error)
        except ValidationError as error:  # KafkaConfig's, which hides its input
            ears.errors.append(RuntimeError(f"{error} {error!r}"))
        assert ears.errors, "neither start() nor the publish failed"
        assert not [text for text in await ears.asks() if MARK in text.lower()]
        await kafka_manager.stop(0.1)


async def test_a_locked_key_and_the_wrong_password(ears: Ears, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    files = {
        "ssl_cafile": made.ca_file,
        "ssl_certfile": made.client_cert_file,
        "ssl_keyfile": made.client_locked_key_file,
    }
    config = KafkaConfig(
        bootstrap_servers=f"{HOST}:{free_port()}", security_protocol="SSL", ssl_key_password=f"{MARK}-key", **files
    )
    await ears.hears(kafka_manager.start(config))
