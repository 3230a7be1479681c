"""Types of e-mail of the application's own, and the options of a publish: the id of the event, and when it expires."""

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from pydantic import ValidationError

from kafka_email import BasePublisher, EmailPublisher, kafka_manager
from kafka_email.testing import capture_events
from support.package.embedded import ADDRESS, TOPIC, started
from support.package.original import original_bytes, with_timestamp

NOON = datetime(2027, 3, 1, 12, 0, 0, 1999, tzinfo=timezone.utc)
NOON_MS = "1803902400001"
_2020_MS = 1_577_836_800_000


@pytest.mark.parametrize("metadata", [None, {"total": 5}, {"only": {"Pydantic"}}])
async def test_a_type_of_the_application_has_the_six_fields_of_every_event(metadata: Any) -> None:
    async with started() as broker:
        await EmailPublisher().publish_email("order_shipped", ADDRESS, "Ann", "/orders/5", metadata)
        await EmailPublisher().publish_email("invoice2", ADDRESS)
        shipped, invoice = sorted(broker.records(TOPIC), key=lambda record: record.headers["ce_id"])
    given = {"only": ["Pydantic"]} if metadata and "only" in metadata else metadata
    as_notification = original_bytes("notification", ADDRESS, "Ann", "/orders/5", given)
    assert with_timestamp(shipped.raw_value) == as_notification.replace(b"notification", b"order_shipped")
    assert (shipped.headers["ce_type"], shipped.key) == ("order_shipped", ADDRESS)
    assert [invoice.value[name] for name in ("email_type", "username", "link", "metadata")] == ["invoice2", "", "", {}]


@pytest.mark.parametrize("email_type", ["", "Welcome", "2fa", "order-shipped", "a" * 65, "zoë", "a\n"])
async def test_a_type_that_is_no_name_is_refused(email_type: str) -> None:
    async with started() as broker:
        with pytest.raises(ValueError, match=r"\[a-z\]"):
            await EmailPublisher().publish_email(email_type, ADDRESS)
        assert not broker.records(TOPIC)


@pytest.mark.parametrize("email_type", [None, 5, b"welcome", ["welcome"]])
async def test_a_type_that_is_no_text_is_refused(email_type: Any) -> None:
    with capture_events() as captured, pytest.raises(TypeError, match="e-mail type is str"):
        await EmailPublisher().publish_email(email_type, ADDRESS)
    assert not captured.events


async def test_an_invalid_event_of_any_type_is_refused() -> None:
    with capture_events() as captured, pytest.raises(ValidationError):
        await EmailPublisher().publish_email("order_shipped", "nobody", "Ann")
    assert not captured.events


async def test_the_callers_id_is_that_of_the_event() -> None:
    async with started() as broker:
        publisher = EmailPublisher()
        stored = await asyncio.gather(
            publisher.publish_verification_email(ADDRESS, "Ann", "link", event_id="order-1"),
            publisher.publish_password_reset_email(ADDRESS, "Ann", "link", {"only": {"Pydantic"}}, event_id="!~"),
            publisher.publish_welcome_email(ADDRESS, "Ann", event_id="x" * 128),
            publisher.publish_notification_email(ADDRESS, "Ann", "link", event_id="4"),
            publisher.publish_email("other", ADDRESS, event_id="5"),
            publisher.publish({}, event_id="6"),
            kafka_manager.send_event(TOPIC, {}, event_id="7"),
        )
        ids = {record.headers["ce_id"] for record in broker.records(TOPIC)}
    assert ids == {metadata.event_id for metadata in stored} == {"order-1", "!~", "x" * 128, "4", "5", "6", "7"}
    assert all(metadata.timestamp_ms > _2020_MS for metadata in stored)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"event_id": ""}, ValueError),
        ({"event_id": "a b"}, ValueError),
        ({"event_id": "ü"}, ValueError),
        ({"event_id": "x" * 129}, ValueError),
        ({"event_id": "x\n"}, ValueError),
        ({"event_id": 5}, TypeError),
        ({"expires_at": 5}, TypeError),
        ({"expires_at": timedelta(1)}, TypeError),
        ({"expires_at": NOON, "headers": {"expires-at": "5"}}, ValueError),
    ],
)
async def test_options_that_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    async with started() as broker:
        for publishing in (
            EmailPublisher().publish_welcome_email(ADDRESS, "Ann", **options),
            EmailPublisher().publish_email("other", ADDRESS, **options),
            BasePublisher(TOPIC).publish({}, **options),
        ):
            with pytest.raises(error):
                await publishing
        assert not broker.records(TOPIC)


@pytest.mark.parametrize(
    "expires_at", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=-5)))]
)
async def test_the_expiry_is_a_header_in_milliseconds(expires_at: datetime) -> None:
    async with started() as broker:
        publisher = EmailPublisher()
        await publisher.publish_verification_email(ADDRESS, "Ann", "link", expires_at=expires_at)
        await publisher.publish_email("other", ADDRESS, headers={"tenant": "a"}, expires_at=expires_at)
        await publisher.publish({}, expires_at=expires_at)
        welcome = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}
        await publisher.publish_many([welcome, welcome], expires_at=expires_at)
        records = broker.records(TOPIC)
    assert [record.headers["expires-at"] for record in records] == [NOON_MS] * 5
    assert [record.headers.get("tenant") for record in records].count("a") == 1


async def test_what_is_overridden_or_patched_gets_the_options_that_were_given() -> None:
    publisher = EmailPublisher()
    with patch.object(kafka_manager, "send_event", AsyncMock()) as send_event:
        await publisher.publish_email("other", ADDRESS, event_id="1", expires_at=NOON)
        assert send_event.call_args.kwargs == {"key": ADDRESS, "headers": None, "event_id": "1", "expires_at": NOON}
        await publisher.publish_email("other", ADDRESS)
        assert send_event.call_args.kwargs == {"key": ADDRESS, "headers": None}
        assert send_event.call_args.args[1]["email_type"] == "other"
    with patch.object(publisher, "publish", AsyncMock()) as publish:
        await publisher.publish_email("other", ADDRESS, event_id="1")
        assert publish.call_args.kwargs == {"key": ADDRESS, "event_id": "1"}


async def test_captured_events_have_the_callers_id() -> None:
    with capture_events() as captured:
        stored = await EmailPublisher().publish_email("other", ADDRESS, event_id="mine", expires_at=NOON)
    assert stored.event_id == "mine"
    assert captured.events[0].headers == {"expires-at": NOON_MS}
