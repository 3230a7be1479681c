"""Every row of the table of options."""

import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from doubles import FakePublishers
from freezegun import freeze_time

from kafka_email.celery import EmailTask, email_task
from kafka_email.testing import capture_events

ARGS = ("ann@gmail.com",)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
WITHOUT_EFFECT = (
    *("priority", "routing_key", "exchange", "serializer", "compression", "retry", "retry_policy", "time_limit"),
    *("soft_time_limit", "shadow", "ignore_result", "add_to_parent", "connection", "producer", "delivery_mode"),
)


@email_task("welcome")
def welcome(recipient: str) -> None: ...


@email_task("welcome", queues={"bulk": "email-bulk", "fast": "email-fast"}, queue="fast", expires=60)
def queued(recipient: str) -> None: ...


def options_of(publishers: FakePublishers, task: EmailTask[Any], **options: Any) -> dict[str, Any]:
    """What the record gets besides the fields, from `apply_async` and from `apply`."""
    publishers.published.clear()
    task.apply_async(ARGS, **options)
    task.apply(ARGS, **options)
    first, second = publishers.published
    assert (first.topic, first.options) == (second.topic, second.options)
    given = {name: value for name, value in first.options.items() if value is not None}
    return given if first.topic is None else given | {"topic": first.topic}


def test_task_id(publishers: FakePublishers) -> None:
    assert options_of(publishers, welcome, task_id="id-1") == {"event_id": "id-1"}
    assert welcome.apply_async(ARGS, {}, "id-2").id == "id-2"


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        (90, NOW + timedelta(seconds=90)),
        (0.5, NOW + timedelta(seconds=0.5)),
        (-1, NOW - timedelta(seconds=1)),
        (datetime(2026, 2, 1), datetime(2026, 2, 1)),  # the publisher takes a naive one as UTC
        (NOW, NOW),
    ],
)
def test_expires(publishers: FakePublishers, expires: Any, expected: datetime) -> None:
    with freeze_time(NOW):
        assert options_of(publishers, welcome, expires=expires) == {"expires_at": expected}


def test_expires_of_the_decorator(publishers: FakePublishers) -> None:
    with freeze_time(NOW):
        assert options_of(publishers, queued)["expires_at"] == NOW + timedelta(seconds=60)
        assert options_of(publishers, queued, expires=1)["expires_at"] == NOW + timedelta(seconds=1)
        assert options_of(publishers, queued, expires=None) == {"topic": "email-fast"}


@pytest.mark.parametrize(("expires", "error"), [("60", TypeError), (1e300, ValueError), (float("nan"), ValueError)])
def test_expires_that_is_no_time(publishers: FakePublishers, expires: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        welcome.apply_async(ARGS, expires=expires)
    assert publishers.published == []


def test_headers(publishers: FakePublishers) -> None:
    assert options_of(publishers, welcome, headers={"tenant": "a"}) == {"headers": {"tenant": "a"}}


def test_queue(publishers: FakePublishers) -> None:
    with freeze_time(NOW):
        assert options_of(publishers, queued)["topic"] == "email-fast"
        assert options_of(publishers, queued, queue="bulk")["topic"] == "email-bulk"
        assert options_of(publishers, queued, queue=SimpleNamespace(name="bulk"))["topic"] == "email-bulk"
        assert "topic" not in options_of(publishers, queued, queue=None)
    assert options_of(publishers, welcome, queue="any") == {}
    with pytest.raises(ValueError, match="'slow'"):
        queued.apply_async(ARGS, queue="slow")


@pytest.mark.parametrize(
    "late",
    [{"countdown": 0.1}, {"eta": NOW + timedelta(seconds=1)}, {"eta": datetime(2026, 1, 2, 3, 4, 6)}],
)
def test_late_mails_have_to_wait_for_the_next_version(publishers: FakePublishers, late: dict[str, Any]) -> None:
    with freeze_time(NOW), pytest.raises(NotImplementedError, match=r"delay_on_commit.*outbox"):
        welcome.apply_async(ARGS, **late)
    assert publishers.published == []


@pytest.mark.parametrize(
    "past",
    [
        {"countdown": 0},
        {"countdown": -5},
        {"countdown": None, "eta": None},
        {"eta": NOW},
        {"eta": datetime(2026, 1, 2)},
    ],
)
def test_times_in_the_past_are_now(publishers: FakePublishers, past: dict[str, Any]) -> None:
    with freeze_time(NOW):
        assert options_of(publishers, welcome, **past) == {}


@pytest.mark.parametrize("wrong", [{"countdown": "5"}, {"eta": "2026-01-02"}, {"eta": 5}])
def test_times_of_wrong_types(publishers: FakePublishers, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        welcome.apply_async(ARGS, **wrong)


@pytest.mark.parametrize("option", WITHOUT_EFFECT)
def test_options_without_effect(publishers: FakePublishers, option: str) -> None:
    assert options_of(publishers, welcome, **{option: "anything"}) == {}


@pytest.mark.parametrize("option", ["link", "link_error", "chord", "chain", "group_id", "group_index", "root_id"])
def test_follow_ups(publishers: FakePublishers, option: str) -> None:
    assert options_of(publishers, welcome, **{option: None}) == {}
    for call in (welcome.apply_async, welcome.apply):
        with pytest.raises(NotImplementedError, match=f"no {option}: .*consumer group"):
            call(ARGS, **{option: "something"})
    assert len(publishers.published) == 2


@pytest.mark.parametrize(
    ("option", "message"), [("coutdown", "did you mean 'countdown'?"), ("tenant", "no option 'tenant'")]
)
def test_misspelt_options_do_not_pass(publishers: FakePublishers, option: str, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        welcome.apply_async(ARGS, **{option: None})
    assert publishers.published == []


def test_the_record() -> None:
    with capture_events() as captured:
        result = queued.apply_async(ARGS, task_id="id-1", expires=NOW, headers={"tenant": "a"}, queue="bulk")
        for wrong in ("has space", "", "x" * 129):
            with pytest.raises(ValueError, match="event_id"):
                queued.apply_async(ARGS, task_id=wrong)
    (event,) = captured.events
    assert (result.id, event.topic) == ("id-1", "email-bulk")
    assert event.headers == {"tenant": "a", "expires-at": str(int(NOW.timestamp() * 1000))}
