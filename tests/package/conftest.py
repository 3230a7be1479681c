"""Fixtures of the tests that use the package in this process."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kafka_email import kafka_manager
from kafka_email.testing import EmbeddedBroker, SmtpSink


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker for tests that run event loops of their own; the manager is stopped afterwards."""
    with EmbeddedBroker() as running:
        yield running
        running.round_trip_ms = 0
        asyncio.run(kafka_manager.stop(0.1))


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    """An SMTP sink without TLS and without users."""
    with SmtpSink() as running:
        yield running


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Where the spans of a tracing application end up."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # A process has one provider for good; this one is for a test.
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()
