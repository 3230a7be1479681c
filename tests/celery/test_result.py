"""The result of a call that does not wait: its states, and what it lacks."""

from typing import Any

import pytest
from doubles import FakePublishers

from kafka_email import KafkaConnectionError
from kafka_email.celery import EmailResult, email_task


@email_task("welcome", wait=False)
def welcome(recipient: str) -> None: ...


ERROR = KafkaConnectionError("no broker", code="TRANSPORT")


def look(result: EmailResult) -> tuple[Any, ...]:
    assert result.status == result.state
    assert result.id == result.task_id == "id-1"
    return result.state, result.ready(), result.failed()


@pytest.fixture
def result(publishers: FakePublishers) -> EmailResult:
    """The result of an event that is on its way."""
    publishers.hold()
    return welcome.apply_async(["ann@gmail.com"], task_id="id-1")


def test_stored(publishers: FakePublishers, result: EmailResult) -> None:
    assert look(result) == ("PENDING", False, False)
    publishers.settle()
    assert look(result) == ("STORED", True, False)
    assert result.get().event_id == "id-1"
    result.forget()
    assert look(result) == ("STORED", True, False)


def test_failed(publishers: FakePublishers, result: EmailResult) -> None:
    publishers.fail_with(ERROR)
    publishers.settle()
    assert look(result) == ("FAILURE", True, True)
    with pytest.raises(KafkaConnectionError):
        result.get(timeout=1)


def test_get_waits_no_longer_than_it_may(result: EmailResult) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the class has two names before Python 3.11
        result.get(timeout=0.01)
    assert type(raised.value).__name__ == "TimeoutError"
    assert look(result) == ("PENDING", False, False)


def test_a_call_that_has_waited_is_stored(publishers: FakePublishers) -> None:
    result = welcome.apply(["ann@gmail.com"], task_id="id-1")
    assert look(result) == ("STORED", True, False)
    assert result.get(timeout=0).event_id == "id-1"
    assert "ann" not in repr(result)


@pytest.mark.parametrize("use", ["successful", "revoke", "then"])
def test_what_needs_statuses(result: EmailResult, use: str) -> None:
    with pytest.raises(NotImplementedError, match=f"no {use}"):
        getattr(result, use)()


def test_there_are_no_children(result: EmailResult) -> None:
    with pytest.raises(NotImplementedError, match="no children"):
        _ = result.children
