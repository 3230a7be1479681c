"""Tasks against a broker: what is stored, and that a move under faults stores each call once."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from doubles import OldTask

from kafka_email import KafkaError
from kafka_email.celery import email_task, moving
from kafka_email.sync import kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import TOPIC, config_for

REFUSALS = ("TOPIC_AUTHORIZATION_FAILED", "MESSAGE_TOO_LARGE", "POLICY_VIOLATION", "INVALID_RECORD")
RETRIED = ("NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS", "CORRUPT_MESSAGE")


@email_task("welcome", queues={"bulk": "email-bulk"})
def welcome(recipient: str, plan: str = "free") -> None: ...


@email_task("welcome", wait=False)
def without_waiting(recipient: str) -> None: ...


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker, with the manager connected to it."""
    with EmbeddedBroker() as running:
        kafka_manager.start(config_for(running))
        yield running
        kafka_manager.stop(0.1)


def test_the_record(broker: EmbeddedBroker) -> None:
    expires = datetime(2100, 1, 1, tzinfo=timezone.utc)
    result = welcome.apply_async(
        ["ann@gmail.com"], {"plan": "paid"}, "id-1", queue="bulk", expires=expires, headers={"tenant": "shop"}
    )
    (record,) = broker.records("email-bulk")
    assert (record.key, record.value["email_type"], record.value["metadata"]) == (
        "ann@gmail.com",
        "welcome",
        {"plan": "paid"},
    )
    assert (result.id, result.state, result.get().topic) == ("id-1", "STORED", "email-bulk")
    assert record.headers["ce_id"] == "id-1"
    assert record.headers["tenant"] == "shop"
    assert record.headers["expires-at"] == str(int(expires.timestamp() * 1000))


def test_results_of_calls_that_do_not_wait(broker: EmbeddedBroker) -> None:
    results = [without_waiting.delay(f"user{number}@gmail.com") for number in range(100)]
    assert {result.get(timeout=10).event_id for result in results} == {result.id for result in results}
    assert {result.state for result in results} == {"STORED"}
    assert len(broker.records(TOPIC)) == 100
    broker.fail_next("POLICY_VIOLATION")
    failed = without_waiting.delay("ann@gmail.com")
    with pytest.raises(KafkaError):
        failed.get(timeout=10)
    assert (failed.state, failed.failed()) == ("FAILURE", True)


@pytest.mark.parametrize("seed", range(3))
def test_each_call_is_in_exactly_one_place(broker: EmbeddedBroker, old: OldTask, seed: int) -> None:
    faults = random.Random(seed)
    both = moving(old=old, new=welcome, share=0.7, fall_back=True)
    recipients = [f"user{number}@gmail.com" for number in range(40)]
    uncertain = set()
    for recipient in recipients:
        if faults.random() < 0.6:
            broker.fail_next(faults.choice([*REFUSALS, *RETRIED]))
        try:
            both.delay(recipient)
        except KafkaError as error:
            if error.maybe_delivered:
                uncertain.add(recipient)
    places = Counter([record.key for record in broker.records(TOPIC)] + [args[0] for _, args, _ in old.calls])
    assert {recipient for recipient in recipients if places[recipient] != 1} <= uncertain
    assert max(places.values()) == 1


def test_falling_back_in_the_thread_of_callbacks(broker: EmbeddedBroker) -> None:
    called = threading.Event()
    threads = []

    class Old(OldTask):
        def delay(self, *args, **kwargs):
            super().delay(*args, **kwargs)
            threads.append(threading.current_thread())
            called.set()

    old = Old()
    broker.fail_next("POLICY_VIOLATION")
    moving(old=old, new=without_waiting, share=1, fall_back=True).delay("ann@gmail.com")
    assert called.wait(10)
    assert threads != [threading.current_thread()]
    assert old.calls == [("delay", ("ann@gmail.com",), {})]
    assert broker.records(TOPIC) == []


def test_a_shadow_that_fails_later_is_logged(
    broker: EmbeddedBroker, old: OldTask, caplog: pytest.LogCaptureFixture
) -> None:
    broker.fail_next("POLICY_VIOLATION")
    assert moving(old=old, new=welcome, shadow="email-shadow").delay("ann@gmail.com") == "old result"
    kafka_manager.stop()
    assert "publish_failed" in [getattr(line, "kafka_email_event", None) for line in caplog.records]
    assert "ann" not in caplog.text
