"""What the package passes in `extra=` collides with no name that a log pipeline keeps for itself."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from kafka_email import BasePublisher, KafkaError
from support.package.embedded import TOPIC, publish, started

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
RESERVED = {
    # structlog: what its own processors write
    *("event", "level", "logger", "timestamp", "exception", "exc_info", "stack", "positional_args", "func_name"),
    # Elastic Common Schema: base fields and field sets, which are objects
    *("@timestamp", "agent", "client", "cloud", "code", "container", "data_stream", "destination", "device", "dns"),
    *("ecs", "email", "error", "event", "faas", "file", "group", "hash", "host", "http", "labels", "log", "message"),
    *("network", "observer", "orchestrator", "organization", "os", "package", "process", "related", "rule", "server"),
    *("service", "source", "span", "tags", "threat", "tls", "trace", "transaction", "url", "user", "user_agent"),
    # OpenTelemetry: fields of a log record, namespaces of attributes, what its instrumentation of logging adds
    *("body", "severity", "trace_id", "span_id", "event_name", "attributes", "resource", "messaging", "exception"),
    *("otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName"),
    # Sentry: fields of an event
    *("event_id", "platform", "release", "environment", "extra", "fingerprint", "contexts", "modules", "data"),
    # python-json-logger keeps those of the standard library
    *STANDARD,
}


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """What structlog's formatter makes of the package's log, set up as structlog's documentation shows it."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    before = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()]
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=processors))
    logger = logging.getLogger("kafka_email")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


async def publish_and_fail() -> None:
    async with started() as broker:
        await publish()
        broker.fail_next("POLICY_VIOLATION")
        with pytest.raises(KafkaError):
            await BasePublisher(TOPIC).publish({})


async def test_structlog_keeps_the_text_of_every_line(lines: StringIO) -> None:
    await publish_and_fail()
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    texts = {line["kafka_email_event"]: line["event"] for line in written if line["kafka_email_event"] != "librdkafka"}
    assert texts.keys() == {"started", "delivered", "failed", "stopped"}
    assert all(text.startswith((name, "event ")) or name in text for name, text in texts.items())
    assert texts["started"].startswith("started: connected")


async def test_no_name_is_reserved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_email")
    await publish_and_fail()
    ours = {name for record in caplog.records for name in vars(record).keys() - STANDARD}
    assert ours == {f"kafka_email_{name}" for name in ("event", "event_id", "event_type", "code")}
    assert not ours & RESERVED
    # Pipelines that turn dots into underscores must not find one of their objects in a name either.
    assert not [name for name in ours if name.split("_")[0] in RESERVED]
