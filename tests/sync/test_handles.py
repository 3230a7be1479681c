"""Handles of events that are published without waiting."""

import asyncio
import gc
import logging
import re
import sys
import threading
import time
import warnings
from concurrent.futures import Future, wait
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_email import KafkaError, KafkaTimeoutError, ProducerClosedError, QueueFullError, RecordMetadata, _blocking
from kafka_email.sync import EmailPublisher, Handle, kafka_manager
from kafka_email.testing import capture_events
from support.package.blocking import started
from support.package.embedded import ADDRESS, TOPIC, usernames
from support.package.embedded import started as asyncio_started


def publish(username: str = "Ann", **options: Any) -> Handle:
    return EmailPublisher().publish_welcome_email_nowait(ADDRESS, username, **options)


def test_a_handle_knows_its_event_at_once_and_its_outcome_later() -> None:
    with started() as broker:
        broker.round_trip_ms = 300
        handle = publish(event_id="mine")
        assert (handle.event_id, handle.done(), handle.cancel()) == ("mine", False, False)
        assert repr(handle) == "<Handle mine pending>"
        with pytest.raises(TimeoutError, match="mine has no outcome yet"):
            handle.result(timeout=0.01)
        with pytest.raises(TimeoutError):
            handle.exception(0)
        stored = handle.result(timeout=10)
        assert (stored.event_id, handle.done(), handle.exception()) == ("mine", True, None)
        assert handle.result() is stored
        assert repr(handle) == "<Handle mine done>"


def test_a_failed_event_raises_its_error_each_time() -> None:
    with started() as broker:
        broker.fail_next("MESSAGE_TOO_LARGE")
        handle = publish()
        for _ in range(2):
            with pytest.raises(KafkaError) as raised:
                handle.result()
            assert handle.exception() is raised.value
        assert raised.value.event_id == handle.event_id


def test_a_full_queue_is_an_error_at_once_and_a_publish_that_blocks_waits_for_space() -> None:
    with started(queue_max_messages=3, request_timeout_ms=10_000) as broker:
        broker.round_trip_ms = 200
        handles = [publish(str(number)) for number in range(3)]
        began = time.monotonic()
        with pytest.raises(QueueFullError, match="queue_max_messages") as refused:
            publish("refused", event_id="mine")
        assert time.monotonic() - began < 0.15
        assert refused.value.event_id == "mine"
        event = {"email_type": "welcome", "recipient": ADDRESS, "username": "refused"}
        (full,) = EmailPublisher().publish_many_nowait([event])
        assert isinstance(full.exception(), QueueFullError)
        EmailPublisher().publish_welcome_email(ADDRESS, "waited")
        assert all(handle.result() for handle in handles)
        assert usernames(broker) == ["0", "1", "2", "waited"]


def test_many_handles_are_in_the_order_of_the_events() -> None:
    events = [{"email_type": "welcome", "recipient": ADDRESS, "username": str(number)} for number in range(2500)]
    with started() as broker:
        handles = EmailPublisher().publish_many_nowait(events)
        offsets = [handle.result().offset for handle in handles]
        assert offsets == sorted(offsets)
        assert usernames(broker) == [event["username"] for event in events]


def test_callbacks_run_on_one_thread_of_the_package() -> None:
    called: list[tuple[Handle, str]] = []
    all_called = threading.Event()

    def callback(handle: Handle) -> None:
        called.append((handle, threading.current_thread().name))
        if len(called) == 21:
            all_called.set()

    with started() as broker:
        broker.round_trip_ms = 50
        handles = [publish() for _ in range(20)]
        for handle in handles:
            handle.add_done_callback(callback)
        handles[0].result()
        handles[0].add_done_callback(callback)
        assert all_called.wait(10)
        assert {id(handle) for handle, _ in called} == {id(handle) for handle in handles}
        assert {name for _, name in called} == {"kafka-email-callbacks"}
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "kafka-email-callbacks")
    thread.join(5)
    assert not thread.is_alive(), "stop() ends it"


def test_a_callback_that_raises_does_not_keep_others_from_being_called(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    called = threading.Event()
    with started():
        handle = publish()
        handle.add_done_callback(lambda _: 1 / 0)
        handle.add_done_callback(lambda _: called.set())
        assert called.wait(10)
        with pytest.raises(TypeError, match="cannot be called"):
            handle.add_done_callback(5)  # type: ignore[arg-type]
    assert [arguments.exc_type for arguments in raised] == [ZeroDivisionError]


def test_futures_of_handles() -> None:
    with started() as broker:
        futures: list[Future[RecordMetadata]] = [publish().as_future() for _ in range(5)]
        wait(futures, timeout=10)
        broker.fail_next("MESSAGE_TOO_LARGE")
        failed = publish().as_future()
        assert not any(future.cancel() for future in [*futures, failed])
        assert wait([*futures, failed], timeout=10).not_done == set()
        assert [future.result().topic for future in futures] == [TOPIC] * 5
        assert isinstance(failed.exception(), KafkaError)


async def test_on_a_thread_whose_loop_runs_only_the_wait_is_refused() -> None:
    async with asyncio_started() as broker:
        broker.round_trip_ms = 100
        handle = publish()
        for ask in (handle.result, handle.exception):
            with pytest.raises(RuntimeError, match="event loop"):
                ask()
        stored = await asyncio.wrap_future(handle.as_future())
        assert handle.result() == stored


def test_a_dropped_handle_does_not_withdraw_its_event() -> None:
    with started() as broker:
        broker.round_trip_ms = 50
        for number in range(10):
            publish(str(number))
        gc.collect()
        broker.wait_for(10, TOPIC)
        assert sorted(usernames(broker)) == [str(number) for number in range(10)]


def test_failures_that_nobody_asks_for_are_logged_once_with_their_code(caplog: pytest.LogCaptureFixture) -> None:
    with started(request_timeout_ms=1000) as broker:
        broker.fail_next("MESSAGE_TOO_LARGE")
        dropped_early = publish()
        del dropped_early
        broker.wait_for(0, TOPIC)
        EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        for _ in range(3):
            broker.fail_next("MESSAGE_TOO_LARGE")
            dropped_late = publish()
            while not dropped_late.done():
                time.sleep(0.01)
            del dropped_late
        EmailPublisher().publish_welcome_email(ADDRESS, "Bob")
    lines = [record for record in caplog.records if record.kafka_email_event == "publish_failed"]
    assert len(lines) == 1
    assert lines[0].levelno == logging.ERROR
    assert re.search("nobody asked.*MESSAGE_TOO_LARGE", lines[0].getMessage())
    assert ADDRESS not in lines[0].getMessage()


def test_a_failure_that_somebody_asks_for_is_logged_as_for_coroutines(caplog: pytest.LogCaptureFixture) -> None:
    with started() as broker:
        broker.fail_next("POLICY_VIOLATION")
        handle = publish()
        handle.exception()
        del handle
        EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
    events = [record.kafka_email_event for record in caplog.records if record.levelno == logging.ERROR]
    assert events == ["failed"]


def test_events_are_captured_without_an_event_loop() -> None:
    with capture_events() as captured:
        stored = EmailPublisher().publish_verification_email(ADDRESS, "Ann", "link", event_id="mine")
        handle = publish("Bob")
        many = EmailPublisher().publish_many([{"email_type": "welcome", "recipient": ADDRESS, "username": "Cid"}])
        assert [event.value["username"] for event in captured.events] == ["Ann", "Bob", "Cid"]
        assert (stored.event_id, handle.done(), handle.result().offset, len(many)) == ("mine", True, 1, 1)
        called = threading.Event()
        handle.add_done_callback(lambda _: called.set())
        assert called.wait(10)
        captured.fail_with(KafkaTimeoutError("late", code="REQUEST_TIMED_OUT"))
        with pytest.raises(KafkaTimeoutError):
            EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        assert isinstance(publish().exception(), KafkaTimeoutError)


def test_captured_emails_needs_no_loop(captured_emails: Any) -> None:
    EmailPublisher().publish_email("order_shipped", ADDRESS)
    assert [event.event_type for event in captured_emails.events] == ["order_shipped"]


def test_the_outcome_of_a_stopped_producer_arrives() -> None:
    with started() as broker:
        broker.round_trip_ms = 5000
        handle = publish()
        assert kafka_manager.stop(0.1).failed == 1
        with pytest.raises(ProducerClosedError):
            handle.result(5)


def test_eventlet_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    patcher = SimpleNamespace(is_monkey_patched=lambda module: module == "thread")
    monkeypatch.setitem(sys.modules, "eventlet", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    monkeypatch.setattr(_blocking, "_warned_of", set())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with started():
            for _ in range(3):
                EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
    assert [(warning.category, "eventlet" in str(warning.message)) for warning in warned] == [(RuntimeWarning, True)]
