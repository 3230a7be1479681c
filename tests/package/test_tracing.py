"""Spans that an application with OpenTelemetry gets, and what its consumers continue."""

import asyncio
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import ValidationError

from kafka_email import BasePublisher, EmailPublisher, KafkaTimeoutError
from support.package.embedded import ADDRESS, TOPIC, eventually, publish, started


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def context_of(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def continued(headers: dict[str, str]) -> tuple[int, int]:
    """The trace and the span that a consumer's span would be a child of."""
    context = trace.get_current_span(TraceContextTextMapPropagator().extract(headers)).get_span_context()
    return context.trace_id, context.span_id


async def test_a_publish_is_a_producer_span_that_the_consumer_continues(exporter: InMemorySpanExporter) -> None:
    async with started() as broker:
        with trace.get_tracer("test").start_as_current_span("request") as request:
            stored = await publish()
        (record,) = broker.records(TOPIC)
    span = exporter.get_finished_spans()[0]
    assert (span.name, span.kind) == (f"send {TOPIC}", SpanKind.PRODUCER)
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": TOPIC,
        "messaging.destination.partition.id": str(stored.partition),
        "messaging.kafka.offset": stored.offset,
        "messaging.message.id": stored.event_id,
    }
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert continued(record.headers) == context_of(span)


async def test_other_events_and_batches_have_spans(exporter: InMemorySpanExporter) -> None:
    async with started() as broker:
        await BasePublisher("user-events").publish({"n": 1}, headers={"tenant": "t"})
        events = [{"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}] * 3
        await EmailPublisher().publish_many(events)
        (record,), batch = broker.records("user-events"), broker.records(TOPIC)
    one, many = exporter.get_finished_spans()
    assert (one.name, many.name) == ("send user-events", f"send {TOPIC}")
    assert continued(record.headers) == context_of(one)
    assert record.headers["tenant"] == "t"
    assert many.attributes is not None
    assert many.attributes["messaging.batch.message_count"] == 3
    assert {continued(record.headers) for record in batch} == {context_of(many)}


async def test_the_callers_own_header_has_the_last_word(exporter: InMemorySpanExporter) -> None:
    async with started() as broker:
        await EmailPublisher().publish_welcome_email(ADDRESS, "Ann", headers={"traceparent": "mine"})
        (record,) = broker.records(TOPIC)
    assert record.headers["traceparent"] == "mine"


async def test_failures_end_the_span_without_personal_data(exporter: InMemorySpanExporter) -> None:
    async with started(request_timeout_ms=500) as broker:
        with pytest.raises(ValidationError):
            await EmailPublisher().publish_welcome_email("secret-person", "Ann")
        invalid = only(exporter)
        assert (invalid.status.status_code, invalid.status.description) == (StatusCode.ERROR, None)
        assert invalid.attributes is not None
        assert invalid.attributes["error.type"] == "ValidationError"
        exporter.clear()
        broker.broker_down()
        with pytest.raises(KafkaTimeoutError):
            await publish()
    late = only(exporter)
    assert late.attributes is not None
    assert late.attributes["error.type"] == "REQUEST_TIMED_OUT"
    for span in (invalid, late):
        assert ADDRESS not in span.to_json()
        assert "secret-person" not in span.to_json()


async def test_cancelling_ends_the_span(exporter: InMemorySpanExporter) -> None:
    async with started() as broker:
        broker.round_trip_ms = 500
        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.1)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert only(exporter).status.status_code is StatusCode.UNSET
        await eventually(lambda: len(broker.records(TOPIC)) == 1, 5)


def test_without_a_provider_nothing_is_traced() -> None:
    script = """
import asyncio, sys
from kafka_email import EmailPublisher
from kafka_email.testing import capture_events
assert not any(name.startswith("opentelemetry") for name in sys.modules)

async def headers():
    with capture_events() as captured:
        await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
    return captured.events[0].headers

assert asyncio.run(headers()) == {}
assert not any(name.startswith("opentelemetry") for name in sys.modules)
import opentelemetry.trace
assert asyncio.run(headers()) == {}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
