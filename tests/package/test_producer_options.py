"""`producer_options` have the last word, and cannot break a promise of the package by accident."""

import logging

import pytest
from pydantic import ValidationError

from kafka_email import EmailPublisher, KafkaConfig, kafka_manager
from kafka_email.config.producer_options import skips_verification
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import ADDRESS, TOPIC, started

ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "sasl.mechanisms": "sasl.mechanism",
    "queue.buffering.max.ms": "linger.ms",
    "retries": "message.send.max.retries",
    "compression.codec": "compression.type",
    "request.required.acks": "acks",
    "delivery.timeout.ms": "message.timeout.ms",
}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_has_the_last_word_as_the_property_itself(alias: str, name: str) -> None:
    for given in (alias, name):
        native = KafkaConfig(producer_options={given: "7"}).native_settings()
        assert native["producer_options"] == {name: "7"}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_two_names_of_one_property_are_refused(alias: str, name: str) -> None:
    with pytest.raises(ValidationError, match="two names of one property"):
        KafkaConfig(producer_options={alias: "1", name: "2"})
    options = KafkaConfig(producer_options={alias: "1"}).producer_options
    with pytest.raises(ValueError, match="two names of one property"):
        options[name] = "2"


async def test_servers_and_name_from_the_options_are_those_that_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email")
    async with EmbeddedBroker() as broker:
        options = {"metadata.broker.list": broker.bootstrap_servers, "client.id": "shop"}
        await kafka_manager.start(KafkaConfig(bootstrap_servers="127.0.0.1:1", producer_options=options))
        try:
            await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
            (record,), servers = broker.records(TOPIC), broker.bootstrap_servers
        finally:
            await kafka_manager.stop()
    assert record.headers["ce_source"] == "shop"
    (line,) = [record.getMessage() for record in caplog.records if record.kafka_email_event == "started"]
    assert servers in line
    assert "127.0.0.1:1," not in line


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("delivery.report.only.error", "true", "never hear"),
        ("delivery.report.only.error", True, "never hear"),
        ("transactional.id", "x", "transactions"),
        ("enabled_events", 0, None),
        ("enabled_events", 1, "never end"),
        ("test.mock.num.brokers", 3, "mock cluster"),
        ("TEST.mock.broker.rtt", 3, "mock cluster"),
    ],
)
def test_what_would_break_a_promise_is_refused_with_the_reason(name: str, value: object, why: str | None) -> None:
    if why is None:
        KafkaConfig(producer_options={name: value})
        return
    with pytest.raises(ValidationError, match=why):
        KafkaConfig(producer_options={name: value})


def test_what_changes_nothing_is_not_refused() -> None:
    options = {"delivery.report.only.error": "False", "transactional.id": ""}
    assert KafkaConfig(producer_options=options).producer_options == options


@pytest.mark.parametrize(
    ("options", "skips"),
    [
        ({"ssl.endpoint.identification.algorithm": "NONE"}, True),
        ({"ssl.endpoint.identification.algorithm": "HTTPS"}, False),
        ({"enable.ssl.certificate.verification": "F"}, True),
        ({"enable.ssl.certificate.verification": "TRUE"}, False),
        ({"enable.ssl.certificate.verification": "t"}, False),
        ({}, False),
    ],
)
def test_a_check_that_is_off_is_seen_in_any_case(options: dict[str, str], skips: bool) -> None:
    assert skips_verification(options) is skips


async def test_an_alias_takes_effect_in_librdkafka() -> None:
    async with started(producer_options={"delivery.timeout.ms": 300}) as broker:
        await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")  # learns where the topic is
        broker.round_trip_ms = 1500
        with pytest.raises(TimeoutError):
            await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
