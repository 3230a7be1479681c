"""What a record looks like: key, headers, value, and what the publisher is told about it."""

import asyncio
import copy
import json
import math
import pickle
import time
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kafka_email import (
    BasePublisher,
    EmailEventPayload,
    EmailEventType,
    EmailPublisher,
    KafkaTopics,
    RecordMetadata,
    kafka_manager,
)
from support.package.embedded import TOPIC, publish, started
from support.package.original import TIMESTAMP, original_bytes, with_timestamp

HEADERS = ["ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"]


class Order(BaseModel):
    """Another application's event."""

    number: int
    total: Decimal


async def test_each_kind_of_email() -> None:
    async with started() as broker:
        publisher = EmailPublisher()
        stored = [
            await publisher.publish_verification_email("ann@gmail.com", "Ann", "app://verify?token=1", {"a": "ü"}),
            await publisher.publish_password_reset_email("ann@gmail.com", "Ann", "/reset/2"),
            await publisher.publish_welcome_email("ann@gmail.com", "Ann", {"b": Decimal("1.5")}),
            await publisher.publish_notification_email("Ann <ann@GMAIL.com>", "Ann", "http://x", metadata=None),
        ]
        records = {record.headers["ce_id"]: record for record in broker.records(TOPIC)}
    expected = [
        original_bytes("verification", "ann@gmail.com", "Ann", "app://verify?token=1", {"a": "ü"}),
        original_bytes("password_reset", "ann@gmail.com", "Ann", "/reset/2", None),
        original_bytes("welcome", "ann@gmail.com", "Ann", "", {"b": Decimal("1.5")}),
        original_bytes("notification", "Ann <ann@GMAIL.com>", "Ann", "http://x", None),
    ]
    for metadata, value in zip(stored, expected, strict=True):
        record = records[metadata.event_id]
        assert with_timestamp(record.raw_value) == value
        assert (record.partition, record.offset) == (metadata.partition, metadata.offset)
        assert list(record.headers) == HEADERS
        assert record.headers["ce_type"] == record.value["email_type"]
        assert (record.headers["ce_specversion"], record.headers["content-type"]) == ("1.0", "application/json")
        assert record.headers["ce_source"] == "kafka-email"
    assert [records[metadata.event_id].key for metadata in stored] == ["ann@gmail.com"] * 3 + ["Ann <ann@GMAIL.com>"]


async def test_the_timestamp_is_now_in_naive_utc() -> None:
    async with started() as broker:
        before = datetime.now(timezone.utc).replace(tzinfo=None)
        await publish()
        await EmailPublisher().publish_welcome_email("Ann <ann@gmail.com>", "Ann")
        after = datetime.now(timezone.utc).replace(tzinfo=None)
        for record in broker.records(TOPIC):
            assert before <= datetime.fromisoformat(record.value["timestamp"]) <= after


async def test_event_ids_rise_and_tell_the_time() -> None:
    async with started():
        before = time.time_ns() // 1_000_000
        stored = await asyncio.gather(*(publish(str(number)) for number in range(500)))
        after = time.time_ns() // 1_000_000
    ids = [uuid.UUID(metadata.event_id) for metadata in stored]
    assert sorted(set(ids)) == ids
    assert {(event_id.version, event_id.variant) for event_id in ids} == {(7, uuid.RFC_4122)}
    assert all(before <= (event_id.int >> 80) <= after for event_id in ids)
    assert all(before <= metadata.timestamp_ms <= after for metadata in stored)


async def test_the_callers_headers() -> None:
    async with started() as broker:
        await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann", headers={"tenant": "ü", "raw": b"\x01"})
        await EmailPublisher().publish_many(
            [{"email_type": "welcome", "recipient": "bob@gmail.com", "username": "Bob"}], headers={"tenant": "t"}
        )
        for record in broker.records(TOPIC):
            assert list(record.headers)[:5] == HEADERS
            assert record.headers["tenant"] in {"ü", "t"}


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"ce_id": "mine"}, ValueError),
        ({"content-type": "text/plain"}, ValueError),
        ({"": "x"}, ValueError),
        ({"a\0b": "x"}, ValueError),
        ({"n": 5}, TypeError),
        ({5: "n"}, TypeError),
        ({"n": None}, TypeError),
        ([("n", "v")], TypeError),
        ([], TypeError),
        ("text", TypeError),
    ],
)
@pytest.mark.parametrize("is_traced", [False, True])
async def test_headers_that_are_refused(headers: dict[str, str], error: type[Exception], is_traced: bool) -> None:
    from opentelemetry import trace

    context = trace.SpanContext(1, 1, False) if is_traced else trace.INVALID_SPAN_CONTEXT
    async with started() as broker:
        with trace.use_span(trace.NonRecordingSpan(context)):
            for publishing in (
                EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann", headers=headers),
                EmailPublisher().publish_many([], headers=headers),
                BasePublisher(TOPIC).publish({}, headers=headers),
            ):
                with pytest.raises(error):
                    await publishing
        assert not broker.records(TOPIC)


class Price(BaseModel):
    """A model with numbers that JSON does not have."""

    amount: float
    history: dict[str, Any]


HISTORY = {"nan": math.nan, "infinities": [math.inf, -math.inf], "by id": {uuid.UUID(int=1): 1, None: 2, 3: 4}}
AS_JSON = {"nan": None, "infinities": [None, None], "by id": {str(uuid.UUID(int=1)): 1, "None": 2, "3": 4}}


async def test_what_json_does_not_have_has_one_answer() -> None:
    async with started() as broker:
        publisher = BasePublisher("user-events")
        await publisher.publish({"amount": math.nan, "history": HISTORY})
        await publisher.publish(Price(amount=math.nan, history=HISTORY))
        await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann", HISTORY)
        values = [record.raw_value for record in broker.records("user-events")]
        metadata = broker.records(TOPIC)[0].value["metadata"]
    expected = json.dumps({"amount": None, "history": AS_JSON}).encode()
    assert values == [expected, expected]
    assert metadata == AS_JSON


async def test_the_active_trace_goes_along() -> None:
    from opentelemetry import trace

    context = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
    async with started() as broker:
        with trace.use_span(trace.NonRecordingSpan(context)):
            await publish()
        await publish()
        traced, untraced = broker.records(TOPIC)
    assert traced.headers["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert "traceparent" not in untraced.headers


async def test_any_event_to_any_topic() -> None:
    async with started() as broker:
        publisher = BasePublisher(KafkaTopics.USER_EVENTS)
        await publisher.publish(Order(number=7, total=Decimal("9.90")), key="7")
        await publisher.publish({"at": TIMESTAMP, "who": "ü", 1: None}, key=b"8", headers={"h": "v"})
        await kafka_manager.send_event("user-events", {"plain": [1, 2.5]}, "9")
        by_key = {record.key: record for record in broker.records("user-events")}
    assert by_key["7"].raw_value == b'{"number": 7, "total": "9.90"}'
    assert by_key["8"].raw_value == json.dumps({"at": TIMESTAMP.isoformat(), "who": "ü", 1: None}).encode()
    assert by_key["9"].raw_value == b'{"plain": [1, 2.5]}'
    assert [by_key[key].headers["ce_type"] for key in "789"] == ["Order", "user-events", "user-events"]


async def test_an_event_of_plain_types_is_what_python_writes() -> None:
    nested: Any = "deep"
    for _ in range(40):
        nested = [nested]
    events: list[dict[Any, Any]] = [
        {},
        {"": "", "text": 'ü\U0001f600"\\\n\0\x7f/', "none": None, "truth": [True, False]},
        {"numbers": [0, -1, 2**63 - 1, -(2**63), 2**70, -0.0, 1e22, 5e-324, 1.5]},
        {"nested": {"a": [{"b": {}}, [], [[]]]}, "deep": nested},
        {"sequence": (1, "2"), "enum": EmailEventType.WELCOME, 5: {True: None}},
    ]
    async with started() as broker:
        for event in events:
            await kafka_manager.send_event("user-events", event, "k")
        assert [record.raw_value.decode() for record in broker.records("user-events")] == [*map(json.dumps, events)]


@pytest.mark.parametrize("event", ["text", 5, None, ["a"]])
async def test_what_is_no_event(event: object) -> None:
    async with started():
        with pytest.raises(TypeError, match="event"):
            await BasePublisher("user-events").publish(event)  # type: ignore[arg-type]


async def test_many_by_payload_and_by_mapping() -> None:
    payload = EmailEventPayload(
        email_type=EmailEventType.PASSWORD_RESET,
        recipient="ann@gmail.com",
        username="Ann",
        link="/r",
        timestamp=TIMESTAMP,
    )
    events = [
        payload,
        {"email_type": "welcome", "recipient": "Bob <bob@gmail.com>", "username": "Bob"},
        {"email_type": EmailEventType.WELCOME, "recipient": "eve@gmail.com", "username": "Eve", "timestamp": TIMESTAMP},
    ]
    async with started() as broker:
        results = await EmailPublisher().publish_many(event for event in events)
        records = {record.headers["ce_id"]: record for record in broker.records(TOPIC)}
    stored = [result for result in results if isinstance(result, RecordMetadata)]
    first, second, third = (records[metadata.event_id] for metadata in stored)
    assert first.raw_value == original_bytes("password_reset", "ann@gmail.com", "Ann", "/r", None)
    assert (second.key, second.value["recipient"]) == ("Bob <bob@gmail.com>", "bob@gmail.com")
    assert third.raw_value == original_bytes("welcome", "eve@gmail.com", "Eve", "", None)
    assert third.headers["ce_type"] == "welcome"


async def test_only_a_welcome_in_a_mapping_may_lack_a_link() -> None:
    assert EmailEventPayload.model_fields["link"].is_required()
    fields: dict[str, Any] = {"recipient": "ann@gmail.com", "username": "Ann"}
    async with started() as broker:
        for given in ("welcome", EmailEventType.WELCOME):
            await EmailPublisher().publish_many([fields | {"email_type": given}])
        assert [record.value["link"] for record in broker.records(TOPIC)] == ["", ""]
        for given in ("verification", EmailEventType.VERIFICATION):
            with pytest.raises(ValidationError, match=r"1\.link"):
                await EmailPublisher().publish_many([{**fields, "email_type": t} for t in ("welcome", given)])
        assert len(broker.records(TOPIC)) == 2


async def test_a_payload_changed_for_the_worse_is_refused() -> None:
    payload = EmailEventPayload(email_type=EmailEventType.WELCOME, recipient="ann@gmail.com", username="Ann", link="")
    payload.username = "Ann\r\nBcc: all@example.com"
    async with started() as broker:
        with pytest.raises(ValueError, match=r"0\.username"):
            await EmailPublisher().publish_many([payload])
        assert not broker.records(TOPIC)


def test_record_metadata() -> None:
    metadata = RecordMetadata(topic="t", partition=1, offset=2, timestamp_ms=3, event_id="e")
    assert metadata == RecordMetadata("t", 1, 2, 3, "e")
    assert metadata != RecordMetadata("t", 1, 3, 3, "e")
    assert len({metadata, copy.copy(metadata), pickle.loads(pickle.dumps(metadata))}) == 1
    assert repr(metadata) == "RecordMetadata(topic='t', partition=1, offset=2, timestamp_ms=3, event_id='e')"
    with pytest.raises(AttributeError):
        metadata.offset = 5  # type: ignore[misc]
    match metadata:
        case RecordMetadata(topic, partition, offset):
            assert (topic, partition, offset) == ("t", 1, 2)
