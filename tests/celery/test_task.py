"""What a task does when it is called, and what it has besides."""

import asyncio
import importlib
import inspect
import operator
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from doubles import FakePublishers
from pydantic import ValidationError

from kafka_email import KafkaError, KafkaTimeoutError, QueueFullError, RecordMetadata
from kafka_email.celery import EmailTask, OperationalError, email_task
from kafka_email.testing import capture_events


@email_task("verification")
def user_verify_mail_event(recipient: str, link: str, username: str) -> None:
    """Ask for the e-mail that verifies an address."""


@email_task("password_reset")
def user_password_reset_mail_event(recipient: str, link: str, username: str) -> None: ...


@email_task("welcome", name="mails.welcome", wait=False)
def welcome(recipient: str, plan: str = "free") -> None: ...


ARGS = ("ann@gmail.com", "/verify/1", "Ann")
ERROR = KafkaTimeoutError("no acknowledgement", code="REQUEST_TIMED_OUT", maybe_delivered=True)


@pytest.mark.parametrize(
    ("task", "email_type"),
    [(user_verify_mail_event, "verification"), (user_password_reset_mail_event, "password_reset")],
)
def test_the_tasks_of_the_original_application(task: EmailTask[Any], email_type: str) -> None:
    with capture_events() as captured:
        task.delay(*ARGS)
        task.apply_async(ARGS)
        task.apply_async(kwargs={"username": "Ann", "link": "/verify/1", "recipient": "ann@gmail.com"})
    assert len(captured.events) == 3
    for event in captured.events:
        assert (event.topic, event.key, event.event_type) == ("email-events", "ann@gmail.com", email_type)
        assert event.value["link"] == "/verify/1"
        assert event.value["username"] == "Ann"
        assert event.value["metadata"] == {}


@pytest.mark.parametrize("way", ["delay", "apply_async", "apply", "call"])
def test_calls_wait_for_the_acknowledgement(publishers: FakePublishers, way: str) -> None:
    assert called(user_verify_mail_event, way) == "event-1"
    assert [publication.way for publication in publishers.published] == ["waits"]
    publishers.fail_with(ERROR)
    with pytest.raises(OperationalError) as raised:
        called(user_verify_mail_event, way)
    assert raised.value is ERROR
    assert OperationalError is KafkaError


def called(task: Any, way: str) -> str:
    match way:
        case "delay":
            return task.delay(*ARGS).id
        case "call":
            stored = task(*ARGS)
            assert isinstance(stored, RecordMetadata)
            return stored.event_id
    return getattr(task, way)(ARGS, task_id="event-1").id


def test_delay_may_not_wait(publishers: FakePublishers) -> None:
    publishers.hold()
    assert not welcome.delay("ann@gmail.com").ready()
    assert not welcome.apply_async(["ann@gmail.com"]).ready()
    assert welcome.apply(["ann@gmail.com"]).ready()
    welcome("ann@gmail.com")
    assert [publication.way for publication in publishers.published] == ["queues", "queues", "waits", "waits"]
    publishers.refuse_with(QueueFullError("full"))
    with pytest.raises(QueueFullError):
        welcome.delay("ann@gmail.com")


async def test_delay_never_waits_where_a_loop_runs(publishers: FakePublishers) -> None:
    publishers.hold()
    assert user_verify_mail_event.delay(*ARGS).state == "PENDING"
    assert user_verify_mail_event.apply_async(ARGS).state == "PENDING"
    assert (await user_verify_mail_event.adelay(*ARGS)).state == "STORED"
    # A thread of the same program has no loop.
    assert (await asyncio.to_thread(user_verify_mail_event.delay, *ARGS)).state == "STORED"
    ways = [publication.way for publication in publishers.published]
    assert ways == ["queues", "queues", "awaits", "waits"]
    publishers.fail_with(ERROR)
    with pytest.raises(KafkaTimeoutError):
        await user_verify_mail_event.adelay(*ARGS)


async def test_on_an_event_loop_with_the_package_itself() -> None:
    with capture_events() as captured:
        await user_verify_mail_event.adelay(*ARGS)
        user_verify_mail_event.delay(*ARGS)
        for call in (user_verify_mail_event, lambda *args: user_verify_mail_event.apply(args)):
            with pytest.raises(RuntimeError):
                call(*ARGS)
    assert [event.value["link"] for event in captured.events] == ["/verify/1"] * 2


def test_an_event_that_is_not_valid_is_refused_at_once() -> None:
    with capture_events() as captured:
        for call in (user_verify_mail_event.delay, user_verify_mail_event):
            with pytest.raises(ValidationError):
                call("no address", "/l", "Ann")
    assert captured.events == []


def test_the_queue_of_the_decorator_counts_for_every_call(publishers: FakePublishers) -> None:
    @email_task("digest", queue="bulk", queues={"bulk": "email-bulk"}, expires=60)
    def digest(to: str) -> None: ...

    digest.delay("a")
    digest("a")
    asyncio.run(digest.adelay("a"))
    assert {publication.topic for publication in publishers.published} == {"email-bulk"}
    assert None not in {publication.options["expires_at"] for publication in publishers.published}


def test_names_and_signatures() -> None:
    assert (user_verify_mail_event.name, welcome.name) == (f"{__name__}.user_verify_mail_event", "mails.welcome")
    assert list(inspect.signature(user_verify_mail_event).parameters) == ["recipient", "link", "username"]
    assert user_verify_mail_event.__signature__ == inspect.signature(user_verify_mail_event.__wrapped__)
    assert user_verify_mail_event.__name__ == "user_verify_mail_event"
    assert user_verify_mail_event.__doc__ == "Ask for the e-mail that verifies an address."
    assert "function" in inspect.signature(EmailTask).parameters


def test_tasks_can_be_pickled(publishers: FakePublishers) -> None:
    @email_task("local")
    def local(to: str) -> None: ...

    for task in (user_verify_mail_event, welcome, local):
        assert pickle.loads(pickle.dumps(task)) is task
    delay = pickle.loads(pickle.dumps(welcome.delay))
    delay("ann@gmail.com", plan="paid")
    assert publishers.published[0].fields["metadata"] == {"plan": "paid"}


def test_a_pickled_task_imports_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from kafka_email.celery import email_task\n@email_task('x', name='mails.x')\ndef f(to): ...\n"
    tmp_path.joinpath("tasks_of_an_app.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    pickled = pickle.dumps(importlib.import_module("tasks_of_an_app").f)
    script = f"import pickle; print(pickle.loads({pickled!r}))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("<EmailTask: mails.x>\n", "")


MISSING: dict[str, Any] = {
    "s": lambda task: task.s(*ARGS),
    "si": lambda task: task.si(*ARGS),
    "signature": lambda task: task.signature(ARGS),
    "|": lambda task: task | welcome,
    "group |": lambda task: operator.or_(1, task),
    "map": lambda task: task.map([ARGS]),
    "starmap": lambda task: task.starmap([ARGS]),
    "chunks": lambda task: task.chunks([ARGS], 10),
    "retry": lambda task: task.retry(countdown=1),
    "replace": lambda task: task.replace(welcome),
    "request": lambda task: task.request.id,
    "AsyncResult": lambda task: task.AsyncResult("id"),
}


@pytest.mark.parametrize("use", MISSING.values(), ids=MISSING.keys())
def test_what_is_not_here_says_what_to_do_instead(use: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"kafka_email.celery has no .+: .{10}"):
        use(user_verify_mail_event)


def test_doubles() -> None:
    double = create_autospec(user_verify_mail_event)
    double.delay(*ARGS)
    double.delay.assert_called_once_with(*ARGS)
    assert not hasattr(user_verify_mail_event, "request")


def test_celery_and_django_are_not_needed() -> None:
    script = """
import sys
sys.modules.update(celery=None, kombu=None, django=None)
from kafka_email.celery import email_task, moving
from kafka_email.testing import capture_events

@email_task("welcome")
def welcome(recipient: str): ...

with capture_events() as captured:
    moving(old=None, new=welcome, share=1).delay("ann@gmail.com")
print(captured.events[0].key)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("ann@gmail.com\n", "")
