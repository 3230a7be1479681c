"""Functions of the application that deliver mails, or compose them."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kafka_email import EmailPublisher, RecordMetadata
from kafka_email.worker import Attachment, Context, Drop, EmailEvent, Mail, Permanent, Retry
from support.package.embedded import TOPIC, eventually
from support.package.working import Shop, shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN = "ann@example.org"
SYNC, ASYNC = "notification", "welcome"
"""The types whose handlers are functions of each kind."""
PNG = b"\x89PNG\r\n\x1a\n\x00"
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Handling:
    """What the handlers of this module do next, and the calls that they got."""

    def __init__(self) -> None:
        self.calls: list[tuple[EmailEvent, Context]] = []
        self.answers: list[Any] = []
        self.threads: list[str] = []
        self.variables: list[str] = []
        self.times: list[float] = []
        self.shop: Shop

    def answer(self, event: EmailEvent, context: Context) -> Any:
        self.calls.append((event, context))
        self.threads.append(threading.current_thread().name)
        self.variables.append(request_id.get())
        self.times.append(time.monotonic())
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def ask(self, email_type: str, *answers: Any) -> list[tuple[EmailEvent, Context]]:
        """Publishes an event, and waits until its handler has given all answers."""
        self.calls.clear()
        self.threads.clear()
        self.variables.clear()
        self.times.clear()
        self.answers = list(answers)
        event = {"email_type": email_type, "recipient": ANN, "username": "Ann", "link": "", "metadata": {"n": [1]}}
        (stored,) = await EmailPublisher().publish_many([event], headers={"tenant": "blue"})
        assert isinstance(stored, RecordMetadata)
        await eventually(lambda: len(self.calls) >= len(answers) and not self.answers, 10)
        return self.calls


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def handling() -> AsyncIterator[Handling]:
    """A worker with a handler of each kind."""
    handling = Handling()

    async def slow(event: EmailEvent, context: Context) -> Any:
        answer = handling.answer(event, context)
        if answer == "slow":
            await asyncio.Event().wait()
        return answer

    async with shop() as running:
        handling.shop = running
        worker = running.worker(handler_timeout_s=0.5)
        worker.handler(SYNC)(handling.answer)
        worker.handler(ASYNC)(slow)
        request_id.set("of the start")
        async with worker:
            yield handling


@pytest.fixture(autouse=True)
def _clean(handling: Handling) -> None:
    handling.shop.sink.clear()


def utc_now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about failed handlers."""
    records = [record for record in caplog.records if getattr(record, "kafka_email_event", "") == "handler_failed"]
    assert ANN not in caplog.text
    assert {record.name for record in records} <= {"kafka_email.worker"}
    return [record.getMessage() for record in records]


@pytest.mark.parametrize("kind", [ASYNC, SYNC])
async def test_a_handler_gets_the_event_and_its_place(handling: Handling, kind: str) -> None:
    ((event, context),) = await handling.ask(kind, None)
    assert (event.email_type, event.recipient, event.username, event.link) == (kind, ANN, "Ann", "")
    assert event.metadata == {"n": [1]}
    assert event.headers["tenant"] == "blue"
    assert event.headers["ce_id"] == event.event_id
    assert abs((utc_now() - event.timestamp).total_seconds()) < 60
    assert abs((utc_now() - context.timestamp).total_seconds()) < 60
    assert (context.topic, context.attempt) == (TOPIC, 1)
    assert ANN not in repr(event)
    assert (handling.threads[0] == threading.current_thread().name) == (kind == ASYNC)
    assert handling.variables == ["none"]
    assert handling.shop.sink.count == 0


async def test_a_mail_with_attachments_and_images_is_sent(handling: Handling) -> None:
    mail = Mail(
        "Your invoice",
        text="Enclosed",
        html='<img src="cid:logo">',
        attachments=[Attachment("invoice.pdf", b"%PDF", "application/pdf")],
        inline=[Attachment("logo.png", PNG, "image/png", cid="logo")],
        reply_to="billing@example.com",
        from_name="Shop",
        headers={"X-Tenant": "blue"},
    )
    assert ("Enclosed" in repr(mail)) is False
    ((event, _),) = await handling.ask(ASYNC, mail)
    (received,) = await handling.shop.mails(1)
    assert (received.subject, received.text, received.html) == ("Your invoice", "Enclosed", '<img src="cid:logo">')
    assert received.recipients == (ANN,)
    assert received.event_id == event.event_id
    message = received.message
    assert (message["Reply-To"], message["X-Tenant"]) == ("billing@example.com", "blue")
    assert "Shop" in message["From"]
    files = {part.get_filename(): part.get_payload(decode=True) for part in message.walk() if part.get_filename()}
    assert files == {"invoice.pdf": b"%PDF", "logo.png": PNG}
    assert "<logo>" in [part["Content-ID"] for part in message.walk()]


@pytest.mark.parametrize("kind", [ASYNC, SYNC])
async def test_a_handler_that_fails_is_called_again(
    handling: Handling, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls = await handling.ask(kind, ValueError(ANN), 5, asyncio.CancelledError(), Mail("Third time", text="lucky"))
    assert [context.attempt for _, context in calls] == [1, 2, 3, 4]
    assert [mail.subject for mail in await handling.shop.mails(1)] == ["Third time"]
    first, second, third = failures(caplog)
    assert "ValueError at test_worker_handlers.py:" in first
    assert second.endswith("it returned int, not a Mail or None")
    assert "CancelledError" in third


async def test_stop_iteration_is_a_failure_as_any_other(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    await handling.ask(SYNC, StopIteration(), None)
    (line,) = failures(caplog)
    assert "RuntimeError at test_worker_handlers.py:" in line


async def test_a_handler_that_takes_too_long_is_cancelled(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    await handling.ask(ASYNC, "slow", None)
    assert failures(caplog) == [line for line in failures(caplog) if line.endswith("no result within 0.5 s")]
    assert [task for task in asyncio.all_tasks() if task.get_name() == "kafka-email handler"] == []


async def test_retry_says_when(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    await handling.ask(SYNC, Retry(0.3), None)
    first, second = handling.times
    assert second - first >= 0.3
    assert failures(caplog) == []


async def test_permanent_makes_a_dead_letter(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    await handling.ask(SYNC, Permanent("no such tenant"))
    (letter,) = await handling.shop.dead_letters(1)
    assert (letter.headers["dlt-reason"], letter.headers["dlt-attempts"]) == ("permanent", "1")
    assert letter.headers["dlt-stage"] == "handler"
    assert "no such tenant" in caplog.text


async def test_drop_finishes_the_record(handling: Handling, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_email.worker")
    before = len(handling.shop.broker.records(f"{TOPIC}-dlt"))
    await handling.ask(ASYNC, Drop("unsubscribed"))
    assert "unsubscribed" in caplog.text
    # The next one of the same recipient.
    await handling.ask(ASYNC, None)
    assert failures(caplog) == []
    assert len(handling.shop.broker.records(f"{TOPIC}-dlt")) == before
    assert handling.shop.sink.count == 0


async def test_a_handler_runs_in_a_span_of_the_publishers_trace(
    handling: Handling, exporter: InMemorySpanExporter
) -> None:
    await handling.ask(SYNC, KeyError(ANN), None)
    await eventually(lambda: len(exporter.get_finished_spans()) >= 3, 5)
    (send, failed, handled) = exporter.get_finished_spans()
    assert [span.name for span in (send, failed, handled)] == [f"send {TOPIC}", f"process {TOPIC}", f"process {TOPIC}"]
    assert send.context is not None
    for span in (failed, handled):
        assert span.parent is not None
        assert span.parent.span_id == send.context.span_id
        assert ANN not in span.to_json()
    assert (failed.status.status_code, handled.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert trace.get_current_span().get_span_context().is_valid is False
