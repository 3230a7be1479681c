"""What code without an event loop publishes is what coroutines publish: names, bytes, order and errors."""

import asyncio
import inspect
import threading
import time
from collections import defaultdict
from datetime import datetime, timezone
from typing import Annotated, Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import ValidationError

import kafka_email
import kafka_email.sync
from kafka_email import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    MessageTooLargeError,
    ProducerClosedError,
    RecordMetadata,
)
from kafka_email.sync import BasePublisher, EmailPublisher, Handle, KafkaManager, get_kafka_manager, kafka_manager
from support.package.blocking import started
from support.package.embedded import ADDRESS, TOPIC, in_threads, usernames
from support.package.embedded import started as asyncio_started

NOON = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
EVENTS = [{"email_type": "welcome", "recipient": ADDRESS, "username": str(number)} for number in range(5)]


@pytest.mark.parametrize("name", ["BasePublisher", "EmailPublisher", "KafkaManager"])
def test_both_interfaces_have_the_same_methods_with_the_same_parameters(name: str) -> None:
    asyncio_class, blocking_class = getattr(kafka_email, name), getattr(kafka_email.sync, name)
    for method, function in inspect.getmembers(asyncio_class, inspect.isfunction):
        if method.startswith("_") or method in {"native_producer", "producer_by_itself", "replaced_by"}:
            continue
        expected = inspect.signature(function)
        assert inspect.signature(getattr(blocking_class, method)) == expected, method
        assert not inspect.iscoroutinefunction(getattr(blocking_class, method))
        if method.startswith(("publish", "send_event")):
            nowait = inspect.signature(getattr(blocking_class, f"{method}_nowait"))
            assert nowait.parameters == expected.parameters, method


def test_each_method_returns_where_its_event_is_stored() -> None:
    with started() as broker:
        publisher = EmailPublisher()
        stored = [
            publisher.publish_verification_email(ADDRESS, "Ann", "link", {"a": 1}, event_id="1"),
            publisher.publish_password_reset_email(ADDRESS, "Ann", "link", {"only": {"Pydantic"}}),
            publisher.publish_welcome_email(ADDRESS, "Ann", headers={"tenant": "a"}),
            publisher.publish_notification_email(ADDRESS, "Ann", "link"),
            publisher.publish_email("order_shipped", ADDRESS),
            publisher.publish({"any": "event"}, "key"),
            BasePublisher("others").publish({"any": "event"}),
            kafka_manager.send_event("others", {"any": "event"}, b"key"),
            *publisher.publish_many(EVENTS, headers={"tenant": "b"}, expires_at=NOON),
        ]
        records = {record.headers["ce_id"]: record for name in (TOPIC, "others") for record in broker.records(name)}
    assert all(isinstance(metadata, RecordMetadata) for metadata in stored)
    assert len({metadata.event_id for metadata in stored}) == len(records) == 13
    for metadata in stored:
        record = records[metadata.event_id]
        assert (record.partition, record.offset) == (metadata.partition, metadata.offset)
    assert {record.headers.get("tenant") for record in records.values()} == {None, "a", "b"}


@pytest.mark.parametrize(
    ("publish", "error"),
    [
        (lambda publisher: publisher.publish_welcome_email("nobody", "Ann"), ValidationError),
        (lambda publisher: publisher.publish_welcome_email(ADDRESS, "A\r\nBcc: x"), ValidationError),
        (lambda publisher: publisher.publish_email("Welcome", ADDRESS), ValueError),
        (lambda publisher: publisher.publish_welcome_email(ADDRESS, "Ann", event_id="a b"), ValueError),
        (lambda publisher: publisher.publish_welcome_email(ADDRESS, "Ann", headers={"ce_id": "x"}), ValueError),
        (lambda publisher: publisher.publish_welcome_email(ADDRESS, "x" * 2000), MessageTooLargeError),
        (lambda publisher: publisher.publish_many([*EVENTS, {"recipient": "nobody"}]), ValidationError),
        (lambda publisher: publisher.publish(5), TypeError),
        (lambda publisher: publisher.publish({}, 5), TypeError),
        (lambda publisher: publisher.manager.send_event("a/b", {}), ValueError),
    ],
)
def test_bad_input_is_refused_before_anything_is_queued(publish: Any, error: type[Exception]) -> None:
    with started(max_request_size=1000) as broker:
        with pytest.raises(error):
            publish(EmailPublisher())
        assert not broker.records(TOPIC)
        with pytest.raises(error):
            publish(_Nowait())
        assert not broker.records(TOPIC)


class _Nowait:
    """A publisher whose methods are those that end in `_nowait`."""

    def __init__(self) -> None:
        self.manager = self

    def __getattr__(self, name: str) -> Any:
        return getattr(kafka_manager if name == "send_event" else EmailPublisher(), f"{name}_nowait")


@pytest.mark.parametrize(
    ("code", "error"), [("MESSAGE_TOO_LARGE", MessageTooLargeError), ("TOPIC_AUTHORIZATION_FAILED", AuthorizationError)]
)
def test_a_failed_event_has_the_error_that_coroutines_get(code: str, error: type[KafkaError]) -> None:
    with started() as broker:
        raised = []
        for publish in (
            lambda: asyncio.run(kafka_email.EmailPublisher().publish_email("mail", ADDRESS, event_id="mine")),
            lambda: EmailPublisher().publish_email("mail", ADDRESS, event_id="mine"),
            lambda: EmailPublisher().publish_email_nowait("mail", ADDRESS, event_id="mine").result(),
        ):
            broker.fail_next(code)
            with pytest.raises(error) as caught:
                publish()
            raised.append(caught.value.as_dict())
    assert raised[0] == raised[1] == raised[2]
    assert (raised[0]["event_id"], raised[0]["topic"], raised[0]["code"]) == ("mine", TOPIC, code)


def test_a_deadline_is_kept_while_no_broker_answers() -> None:
    with started(request_timeout_ms=500) as broker:
        broker.broker_down()
        with pytest.raises(KafkaTimeoutError, match="request_timeout_ms=500"):
            EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        (result,) = EmailPublisher().publish_many(EVENTS[:1])
        assert isinstance(result, KafkaTimeoutError)


def test_events_of_one_key_keep_the_order_of_the_calls_through_both_interfaces() -> None:
    names = iter(range(32))

    def publish_in_order() -> None:
        thread = next(names)
        key = f"user{thread % 8}@gmail.com"
        handles = []
        for number in range(12):
            name = f"{thread}-{number}"
            if number % 4 == 3:
                asyncio.run(kafka_email.EmailPublisher().publish_email("mail", key, name))
            elif number % 4 == 2:
                EmailPublisher().publish_email("mail", key, name)
            else:
                handles.append(EmailPublisher().publish_email_nowait("mail", key, name))
        for handle in handles:
            handle.result()

    with started() as broker:
        in_threads(32, publish_in_order)
        stored: dict[str, list[int]] = defaultdict(list)
        for record in broker.records(TOPIC):
            thread, number = record.value["username"].split("-")
            stored[thread].append(int(number))
    assert list(stored.values()) == [list(range(12))] * 32


async def test_def_endpoints_use_the_producer_of_the_application() -> None:
    app = FastAPI()

    @app.post("/blocking")
    def blocking(publisher: Annotated[EmailPublisher, Depends(EmailPublisher)]) -> RecordMetadata:
        return publisher.publish_welcome_email(ADDRESS, "Ann")

    @app.post("/coroutine")
    async def coroutine() -> str:
        with pytest.raises(RuntimeError) as refused:
            EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        EmailPublisher().publish_welcome_email_nowait(ADDRESS, "Bob")
        return str(refused.value)

    transport = httpx.ASGITransport(app=app)
    async with asyncio_started() as broker, httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        assert (await client.post("/blocking")).json()["topic"] == TOPIC
        message = (await client.post("/coroutine")).json()
        await asyncio.to_thread(broker.wait_for, 2, TOPIC)
        assert sorted(usernames(broker)) == ["Ann", "Bob"]
    assert "await kafka_email.EmailPublisher()" in message
    assert "_nowait" in message


@pytest.mark.parametrize(
    "call",
    [
        lambda: EmailPublisher().publish_welcome_email(ADDRESS, "Ann"),
        lambda: EmailPublisher().publish_many(EVENTS),
        lambda: BasePublisher(TOPIC).publish({}),
        lambda: kafka_manager.send_event(TOPIC, {}),
        kafka_manager.start,
        kafka_manager.stop,
        kafka_manager.health,
        lambda: get_kafka_manager().__enter__(),
    ],
)
def test_a_thread_whose_event_loop_runs_is_not_blocked(call: Any) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            call()

    with started() as broker:
        asyncio.run(main())
        assert kafka_manager.is_connected
        assert not broker.records(TOPIC)


class WithTenant(EmailPublisher):
    """Adds a header to every event."""

    def publish(self, event: Any, key: Any = None, **options: Any) -> RecordMetadata:
        return super().publish(event, key, **{**options, "headers": {"tenant": "a"}})

    def publish_nowait(self, event: Any, key: Any = None, **options: Any) -> Handle:
        return super().publish_nowait(event, key, **{**options, "headers": {"tenant": "b"}})


def test_what_is_overridden_gets_every_event() -> None:
    with started() as broker:
        publisher = WithTenant()
        publisher.publish_welcome_email(ADDRESS, "Ann")
        publisher.publish_many(EVENTS)
        publisher.publish_email_nowait("mail", ADDRESS).result()
        for handle in publisher.publish_many_nowait(EVENTS):
            handle.result()
        assert sorted(str(record.headers.get("tenant")) for record in broker.records(TOPIC)) == ["a"] * 6 + ["b"] * 6


def test_what_is_patched_gets_every_event() -> None:
    with patch.object(KafkaManager, "send_event", return_value="stored") as send_event:
        assert EmailPublisher().publish_email("mail", ADDRESS, event_id="1") == "stored"
        assert EmailPublisher().publish_many(EVENTS) == ["stored"] * 5
        assert send_event.call_args_list[0].kwargs == {"headers": None, "event_id": "1"}
    with patch.object(KafkaManager, "send_event_nowait", return_value="handle"):
        assert EmailPublisher().publish_email_nowait("mail", ADDRESS) == "handle"


def test_health_and_states_are_shared() -> None:
    with started():
        assert kafka_manager.health().healthy
        assert kafka_manager.is_connected is kafka_email.kafka_manager.is_connected is True
        assert asyncio.run(kafka_email.kafka_manager.health()).healthy
        assert (kafka_manager.config, kafka_manager.email_topic) == (kafka_email.kafka_manager.config, TOPIC)
        report = kafka_manager.stop()
        assert (report.delivered, report.failed) == (0, 0)
        assert not kafka_manager.health().healthy
        with pytest.raises(ProducerClosedError):
            EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        with pytest.raises(ProducerClosedError):
            EmailPublisher().publish_welcome_email_nowait(ADDRESS, "Ann")


def test_a_stop_ends_the_calls_of_all_threads_within_their_deadlines() -> None:
    outcomes: list[object] = []

    def publish() -> None:
        while True:
            try:
                outcomes.append(EmailPublisher().publish_welcome_email(ADDRESS, "Ann"))
            except ProducerClosedError as error:
                outcomes.append(error)
                return

    with started() as broker:
        threads = [threading.Thread(target=publish) for _ in range(32)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 100:
            time.sleep(0.01)
        report = kafka_manager.stop()
        for thread in threads:
            thread.join(3)
        assert not any(thread.is_alive() for thread in threads)
        stored = [outcome for outcome in outcomes if isinstance(outcome, RecordMetadata)]
        assert (len(broker.records(TOPIC)), report.failed) == (len(stored), 0)


def test_a_manager_in_a_with_block_is_started_and_left_running() -> None:
    with started():
        with get_kafka_manager() as manager:
            assert manager is kafka_manager
        assert manager.is_connected
