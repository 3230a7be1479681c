"""Spans of OpenTelemetry, for applications that trace. In the others OpenTelemetry is not even imported.

Names and attributes follow OpenTelemetry's semantic conventions for messaging spans, and those for Kafka. The key of a
record is not an attribute: it is an e-mail address.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka_email._encoding import checked_headers
from kafka_email.exceptions import KafkaError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from kafka_email._core import RecordMetadata
    from kafka_email._encoding import Headers


_NANOS = 1_000_000
"""Nanoseconds in a millisecond."""


def is_tracing() -> bool:
    """Return whether the application may trace: an application that does has imported OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


class Sending:
    """One publish, from its call to its acknowledgement, with its span if the application traces."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def headers(self, own: Headers | None) -> Headers | None:
        """Add the span's context (W3C Trace Context) to the caller's headers, which have the last word."""
        if self._span is None or not self._span.get_span_context().is_valid:
            return own
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier if own is None else {**carrier, **checked_headers(own)}

    def acknowledge(self, stored: RecordMetadata) -> None:
        """Add to the span where the event is stored."""
        if self._span is not None:
            self._span.set_attributes(
                {
                    "messaging.message.id": stored.event_id,
                    "messaging.destination.partition.id": str(stored.partition),
                    "messaging.kafka.offset": stored.offset,
                }
            )


@contextmanager
def sending(topic: str, count: int | None = None) -> Iterator[Sending]:
    """Trace the block as a publish to ``topic``, of ``count`` events if it is a batch.

    Without a tracer provider there is no span, and the headers carry the active trace, if there is one.
    """
    if not is_tracing():
        yield Sending()
        return
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind

    tracer = _tracer()
    if tracer is None:
        yield Sending(trace.get_current_span())
        return
    span = tracer.start_span(f"send {topic}", kind=SpanKind.PRODUCER, attributes=_attributes(topic, count))
    try:
        yield Sending(span)
    except Exception as error:
        _fail(span, error)
        raise
    finally:
        span.end()


def _attributes(topic: str, count: int | None) -> Mapping[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
    }
    return attributes if count is None else attributes | {"messaging.batch.message_count": count}


def _fail(span: Span, error: Exception) -> None:
    from opentelemetry.trace import Status, StatusCode

    # Our errors hold no personal data. The texts of other errors may, above all those of Pydantic.
    reason = str(error) if isinstance(error, KafkaError) else None
    span.set_attribute("error.type", error.code if isinstance(error, KafkaError) else type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, reason))


@contextmanager
def processing(place: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[bool]:
    """Trace the block, a call of a handler, as a span that continues the trace of the record's headers.

    Args:
        place: ``topic``, ``partition``, ``offset`` and ``event_id`` of the record.
        headers: Header values by name.

    Yields:
        Whether there is a span.
    """
    tracer = _tracer()
    if tracer is None:
        yield False
        return
    span = _start(tracer, place, headers)
    from opentelemetry.trace import use_span

    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield True
    except BaseException as error:
        _fail_processing(span, type(error).__name__)
        raise
    finally:
        span.end()


def trace_processed(news: Mapping[str, Any]) -> None:
    """Add the span of an attempt that the native half made."""
    tracer = _tracer()
    if tracer is None:
        return
    span = _start(tracer, news, {"traceparent": news["traceparent"]}, news["began_ms"] * _NANOS)
    if news["outcome"] == "failed":
        _fail_processing(span, None)
    span.end(news["ended_ms"] * _NANOS)


def _tracer() -> Tracer | None:
    if not is_tracing():
        return None
    from opentelemetry import trace
    from opentelemetry.trace import ProxyTracerProvider

    return None if type(trace.get_tracer_provider()) is ProxyTracerProvider else trace.get_tracer("kafka_email")


def _start(tracer: Tracer, place: Mapping[str, Any], headers: Mapping[str, str], time: int | None = None) -> Span:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": place["topic"],
        "messaging.destination.partition.id": str(place["partition"]),
        "messaging.kafka.offset": place["offset"],
    }
    if place["event_id"] is not None:
        attributes["messaging.message.id"] = place["event_id"]
    parent = TraceContextTextMapPropagator().extract(headers, Context())
    name = f"process {place['topic']}"
    return tracer.start_span(name, parent, kind=SpanKind.CONSUMER, attributes=attributes, start_time=time)


def _fail_processing(span: Span, error_type: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if error_type is not None:
        span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))
