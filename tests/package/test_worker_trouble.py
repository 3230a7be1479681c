"""What the worker gives up, and what it says when something is wrong."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafka_email import ConfigurationError
from kafka_email.testing import EmbeddedBroker, SmtpSink
from kafka_email.worker import Worker
from support.package.embedded import TOPIC, config_for, eventually
from support.package.working import Shop, notify, shop, smtp_config, worker_config

ANN = "ann@example.org"
SECONDS = 15.0
DAY_S = 86_400.0

Lines = Callable[[str], list[logging.LogRecord]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines of an event that were logged so far."""
    caplog.set_level(logging.INFO, "kafka_email.worker")
    return lambda event: [
        record
        for record in caplog.records
        if record.name == "kafka_email.worker" and record.__dict__["kafka_email_event"] == event
    ]


def event(**fields: object) -> bytes:
    return json.dumps({"email_type": "welcome", "recipient": ANN, "username": "Ann", **fields}).encode()


async def test_rather_no_mail_than_two() -> None:
    async with shop() as running, running.worker(on_unknown="dead_letter"):
        running.sink.drop_next("dot")
        lost = await notify(ANN)
        (letter,) = await running.dead_letters(1)
        headers = {name: letter.headers.get(f"dlt-{name}") for name in ("reason", "stage", "code", "attempts")}
        assert headers == {"reason": "unknown", "stage": "dot", "code": None, "attempts": "1"}
        # The sink took the mail whose reply it lost.
        later = await notify(ANN)
        assert [mail.event_id for mail in await running.mails(2)] == [lost.event_id, later.event_id]


async def test_a_record_that_is_too_old_is_a_dead_letter() -> None:
    async with shop() as running, running.worker():
        running.produce(event(), {"ce_id": "old"}, b"ann", age_s=7 * DAY_S + 60)
        running.produce(event(), {"ce_id": "young"}, b"ann", age_s=7 * DAY_S - 60)
        (letter,) = await running.dead_letters(1)
        headers = {name: letter.headers.get(f"dlt-{name}") for name in ("reason", "stage", "attempts")}
        assert headers == {"reason": "too_old", "stage": "ready", "attempts": "0"}
        assert letter.headers["ce_id"] == "old"
        assert [mail.event_id for mail in await running.mails(1)] == ["young"]


def committed_by_the_group(running: Shop) -> int:
    """How many records the worker's group has committed."""
    client = Consumer({"bootstrap.servers": running.broker.bootstrap_servers, "group.id": "kafka-email-worker"})
    positions = client.committed([TopicPartition(TOPIC, partition) for partition in range(2)], timeout=SECONDS)
    client.close()
    return sum(max(position.offset, 0) for position in positions)


async def test_a_commit_that_kafka_refuses_is_logged_with_its_code_and_tried_again(lines: Lines) -> None:
    async with shop() as running, running.worker():
        running.broker.fail_next("GROUP_AUTHORIZATION_FAILED", request="OffsetCommit")
        await notify(ANN)
        await eventually(lambda: lines("commit_failed") != [], SECONDS)
        await eventually(lambda: committed_by_the_group(running) == 1, SECONDS)
    (line,) = lines("commit_failed")
    assert "GROUP_AUTHORIZATION_FAILED" in line.getMessage()
    assert line.__dict__["kafka_email_kafka_code"] == "GROUP_AUTHORIZATION_FAILED"


async def test_a_dead_letter_that_kafka_refuses_is_logged_with_its_code_and_produced_again(lines: Lines) -> None:
    async with shop() as running, running.worker():
        running.produce(b"no event", {"ce_id": "bad"})
        running.broker.fail_next("TOPIC_AUTHORIZATION_FAILED")
        (letter,) = await running.dead_letters(1)
        await eventually(lambda: lines("dead_lettered") != [], SECONDS)
        (line,) = lines("dead_letter_failed")
        assert "TOPIC_AUTHORIZATION_FAILED" in line.getMessage()
        assert letter.headers["ce_id"] == "bad"


UNFIT = {
    "undefined value `order` in welcome.txt:2": event(),
    "the record has no value": None,
    "the value is not the JSON of an event": b"[]",
    "the recipient is not one plain address": event(recipient=f"Ann <{ANN}>"),
    "the username has control characters": event(username=f"Ann\r\nBcc: {ANN}"),
    "list_unsubscribe has a control character": event(metadata={"order": "7", "list_unsubscribe": f"https://{ANN}\n"}),
}


async def test_why_a_record_cannot_become_a_mail_is_logged_without_its_values(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.joinpath("welcome.subject.txt").write_text("Hello")
    tmp_path.joinpath("welcome.txt").write_text("Hello {{ username }},\nyour order {{ order }}\n")
    async with shop() as running, running.worker(templates=tmp_path):
        for number, value in enumerate(UNFIT.values()):
            running.produce(value, {"ce_id": f"unfit-{number}", "ce_type": "welcome"})
        await eventually(lambda: len(lines("dead_lettered")) == len(UNFIT), SECONDS)
    said = {line.__dict__["kafka_email_event_id"]: line.getMessage() for line in lines("preparation_failed")}
    assert len(said) == len(UNFIT)
    for number, why in enumerate(UNFIT):
        assert said[f"unfit-{number}"].endswith(f"cannot become a mail: {why}")
    assert ANN not in caplog.text


async def test_a_kafka_that_is_away_at_the_start_is_named_and_so_is_its_return(lines: Lines) -> None:
    async with shop() as running:
        running.broker.broker_down()
        async with running.worker():
            (line,) = lines("kafka_unreachable")
            assert running.broker.bootstrap_servers in line.getMessage()
            running.broker.broker_up()
            await eventually(lambda: lines("kafka_recovered") != [], SECONDS)


async def test_a_property_that_librdkafka_does_not_have_is_named(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    config = worker_config(consumer_options={"ssl.key.pasword": "sesame"})
    with pytest.raises(ConfigurationError, match=r"no property \"ssl\.key\.pasword\"") as caught:
        await Worker(config, kafka=config_for(broker), smtp=smtp_config(sink)).start()
    assert "sesame" not in str(caught.value)
