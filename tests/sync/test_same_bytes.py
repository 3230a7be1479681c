"""For any event, coroutines and threads store the same record."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kafka_email
from kafka_email.sync import EmailPublisher
from kafka_email.testing import EmbeddedBroker
from support.package.blocking import started
from support.package.embedded import ADDRESS, TOPIC
from support.package.original import with_timestamp


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with started() as running:
        yield running


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(frozenset({"only Pydantic"}))


@given(
    email_type=st.sampled_from(["welcome", "verification", "order_shipped"]),
    email=st.sampled_from([ADDRESS, "Ann <ann@GMAIL.com>", "bob@example.org"]),
    username=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=10),
    link=TEXT,
    metadata=st.none() | st.dictionaries(TEXT, VALUES, max_size=3),
    headers=st.none() | st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), TEXT, max_size=2),
    expires_at=st.none() | st.just(datetime(2027, 3, 1, 12, tzinfo=timezone.utc)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_interfaces_store_the_same_record(broker: EmbeddedBroker, **event: Any) -> None:
    stored = [
        asyncio.run(kafka_email.EmailPublisher().publish_email(**event)),
        EmailPublisher().publish_email(**event),
        EmailPublisher().publish_email_nowait(**event).result(),
    ]
    records = {record.headers["ce_id"]: record for record in broker.records(TOPIC)}
    first, second, third = (
        (record.key, with_timestamp(record.raw_value), record.partition, {**record.headers, "ce_id": ""})
        for record in (records[metadata.event_id] for metadata in stored)
    )
    assert first == second == third
