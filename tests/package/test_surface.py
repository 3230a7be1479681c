"""Names, types and manners: what an application and its tests may do with the package."""

import asyncio
import copy
import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, create_autospec

import pytest
from fastapi import BackgroundTasks

import kafka_email
from kafka_email import (
    BasePublisher,
    EmailPublisher,
    KafkaManager,
    RecordMetadata,
    exceptions,
    get_kafka_manager,
    kafka_manager,
)
from kafka_email.testing import capture_events
from support.package.embedded import config_for, started

MODULES = {
    "kafka_email.manager": ["KafkaManager", "kafka_manager", "get_kafka_manager", "kafka_config"],
    "kafka_email.config": ["KafkaConfig", "kafka_config", "KafkaTopics"],
    "kafka_email.producers": ["BasePublisher", "EmailPublisher"],
    "kafka_email.producers.base": ["BasePublisher"],
    "kafka_email.producers.email_publisher": ["EmailPublisher", "EmailEventPayload", "EmailEventType"],
    "kafka_email.schemas": ["EmailEventPayload", "EmailEventType"],
    "kafka_email.schemas.email_events": ["EmailEventPayload", "EmailEventType"],
    "kafka_email.exceptions": exceptions.__all__,
}
BASES = {
    "KafkaConnectionError": ConnectionError,
    "KafkaTimeoutError": TimeoutError,
    "QueueFullError": Exception,
    "MessageTooLargeError": ValueError,
    "UnknownTopicError": Exception,
    "AuthorizationError": Exception,
    "AuthenticationError": Exception,
    "ConfigurationError": Exception,
    "NotStartedError": RuntimeError,
    "ProducerClosedError": RuntimeError,
    "ProducerFatalError": Exception,
}
WELCOME = ("ann@gmail.com", "Ann")


@pytest.mark.parametrize("module", MODULES)
def test_names_are_where_they_were_and_at_the_top(module: str) -> None:
    for name in MODULES[module]:
        assert getattr(importlib.import_module(module), name) is getattr(kafka_email, name)
        assert name in kafka_email.__all__


def test_all_is_what_there_is() -> None:
    assert [name for name in kafka_email.__all__ if not hasattr(kafka_email, name)] == []
    assert RecordMetadata.__module__ == "kafka_email"
    assert Path(kafka_email.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("name", BASES)
def test_errors(name: str) -> None:
    error_class = getattr(exceptions, name)
    assert issubclass(error_class, exceptions.KafkaError)
    assert issubclass(error_class, BASES[name])
    error = error_class("why", code="CODE", retriable=True, maybe_delivered=True, topic="t", event_id="e")
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), str(same), vars(same)) == (error_class, "why", vars(error))


def public_coroutines() -> list[Any]:
    """Everything that an application awaits."""
    publishing = [getattr(EmailPublisher, name) for name in dir(EmailPublisher) if name.startswith("publish")]
    life_cycle = [KafkaManager.start, KafkaManager.stop, KafkaManager.health, KafkaManager.send_event]
    return [*publishing, BasePublisher.publish, *life_cycle]


@pytest.mark.parametrize("function", public_coroutines(), ids=lambda function: function.__qualname__)
def test_coroutines_are_coroutines(function: Any) -> None:
    assert inspect.iscoroutinefunction(function)


async def test_all_that_asyncio_does_with_a_coroutine() -> None:
    async with started() as broker:
        publisher = EmailPublisher()
        await asyncio.create_task(publisher.publish_welcome_email(*WELCOME))
        await asyncio.wait_for(publisher.publish_welcome_email(*WELCOME), 3)
        await asyncio.shield(publisher.publish_welcome_email(*WELCOME))
        await asyncio.gather(*(publisher.publish_welcome_email(*WELCOME) for _ in range(3)))
        background = BackgroundTasks()
        background.add_task(publisher.publish_welcome_email, *WELCOME)
        await background()
        assert len(broker.records("email-events")) == 7


def test_doubles() -> None:
    for double in (AsyncMock(spec=EmailPublisher), create_autospec(EmailPublisher, instance=True)):
        asyncio.run(double.publish_welcome_email(*WELCOME))
        double.publish_welcome_email.assert_awaited_once_with(*WELCOME)
    create_autospec(kafka_manager)


async def test_methods_can_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = EmailPublisher()
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "publish_welcome_email", AsyncMock(return_value="patched"))
        assert await publisher.publish_welcome_email(*WELCOME) == "patched"
    with monkeypatch.context() as patch:
        patch.setattr(EmailPublisher, "publish_welcome_email", AsyncMock(return_value="patched"))
        assert await EmailPublisher().publish_welcome_email(*WELCOME) == "patched"


async def test_is_connected_can_be_patched_and_tells_the_truth_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kafka_manager.is_connected is False
    with monkeypatch.context() as patch:
        patch.setattr(kafka_manager, "is_connected", True)
        assert kafka_manager.is_connected is True
    assert kafka_manager.is_connected is False
    async with started():
        assert kafka_manager.is_connected is True


@pytest.mark.parametrize("target", [kafka_manager, KafkaManager], ids=["instance", "class"])
async def test_a_patched_send_event_gets_the_email_events(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        send_event = AsyncMock()
        patch.setattr(target, "send_event", send_event)
        await EmailPublisher().publish_welcome_email(*WELCOME)
        (topic, event), options = send_event.await_args.args[-2:], send_event.await_args.kwargs
        assert (topic, event["recipient"], options["key"]) == ("email-events", "ann@gmail.com", "ann@gmail.com")
    with capture_events() as captured:
        await EmailPublisher().publish_welcome_email(*WELCOME)
        assert len(captured.events) == 1


def test_publishers_can_be_copied_and_pickled() -> None:
    publisher = EmailPublisher("other-topic")
    for same in (copy.copy(publisher), copy.deepcopy(publisher), pickle.loads(pickle.dumps(publisher))):
        assert (same.topic, same.manager) == ("other-topic", kafka_manager)


def test_there_is_one_manager() -> None:
    assert KafkaManager() is kafka_manager
    assert copy.deepcopy(kafka_manager) is kafka_manager
    assert pickle.loads(pickle.dumps(kafka_manager)) is kafka_manager


async def test_the_topic_is_the_configurations() -> None:
    publisher = EmailPublisher()
    assert publisher.topic == "email-events"
    async with started(email_topic="mails") as broker:
        assert publisher.topic == "mails"
        assert (await publisher.publish_welcome_email(*WELCOME)).topic == "mails"
        assert EmailPublisher("other").topic == "other"
        assert len(broker.records("mails")) == 1


async def test_get_kafka_manager_starts_and_leaves_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started() as broker:
        await kafka_manager.stop()
        monkeypatch.setattr("kafka_email.config.kafka_config", config_for(broker))
        async with get_kafka_manager() as manager:
            assert manager is kafka_manager
        assert kafka_manager.is_connected


def test_importing_starts_no_thread_and_opens_nothing() -> None:
    script = """
import os, pydantic, pydantic_settings, email_validator, asyncio
before = set(os.listdir("/proc/self/fd"))
import kafka_email, kafka_email.testing
kafka_email.EmailPublisher()
assert len(os.listdir("/proc/self/task")) == 1
assert set(os.listdir("/proc/self/fd")) == before
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
