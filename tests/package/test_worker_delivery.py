"""What becomes of a record: delivered, tried again, or a dead letter."""

import json
import logging
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest
import pytest_asyncio

from kafka_email import EmailPublisher
from kafka_email.testing import StoredRecord
from support.package.embedded import TOPIC, eventually
from support.package.working import DEAD_LETTERS, SENDER, Shop, notify, shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN, BOB = "ann@example.org", "bob@example.org"
LINK = "https://shop.example.com/verify?token=a/b&c=d"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[Shop]:
    """One worker for all tests of this module: joining a group takes seconds."""
    async with shop() as running, running.worker():
        yield running


@pytest.fixture
def running(shared: Shop) -> Shop:
    """The worker, with an empty sink."""
    shared.sink.clear()
    return shared


async def dead_letter_of(running: Shop, event_id: str) -> StoredRecord:
    """The dead letter of an event, when there is one."""
    found: list[StoredRecord] = []

    def is_there() -> bool:
        letters = running.broker.records(DEAD_LETTERS)
        found[:] = [letter for letter in letters if letter.headers.get("ce_id") == event_id]
        return bool(found)

    await eventually(is_there, 10)
    (letter,) = found
    return letter


def event(recipient: str = ANN) -> bytes:
    return json.dumps({"email_type": "welcome", "recipient": recipient, "username": "Ann"}).encode()


async def test_a_published_mail_is_delivered(running: Shop) -> None:
    stored = await EmailPublisher().publish_verification_email(ANN, "Ann", LINK)
    (mail,) = await running.mails(1)
    assert (mail.sender, mail.recipients, mail.event_id) == (SENDER, (ANN,), stored.event_id)
    assert LINK in (mail.text or "")
    assert mail.message["Message-ID"] == f"<{stored.event_id}@example.com>"
    assert abs(parsedate_to_datetime(mail.message["Date"]).timestamp() - time.time()) < 60


async def test_mails_to_one_recipient_keep_their_order_when_the_first_is_tried_again(running: Shop) -> None:
    running.sink.fail_next(451, 2, "rcpt")
    stored = [await notify(ANN, f"Ann {number}") for number in range(5)]
    mails = await running.mails(5)
    assert [mail.event_id for mail in mails] == [event.event_id for event in stored]


async def test_a_mail_that_is_refused_for_good_is_a_dead_letter(
    running: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    running.sink.fail_next(550, 1, "rcpt")
    stored = await notify(ANN, metadata={"tenant": "blue"}, headers={"x-request": "7"})
    letter = await dead_letter_of(running, stored.event_id)
    (record,) = [one for one in running.broker.records(TOPIC) if one.headers["ce_id"] == stored.event_id]
    assert (letter.key, letter.raw_value) == (record.key, record.raw_value)
    assert {name: letter.headers[name] for name in record.headers} == record.headers
    headers = {name: value for name, value in letter.headers.items() if name.startswith("dlt-")}
    times = [int(headers.pop(name)) for name in ("dlt-timestamp", "dlt-first-failed-at", "dlt-failed-at")]
    assert all(abs(at / 1000 - time.time()) < 60 for at in times)
    headers.pop("dlt-enhanced-code", None)
    assert headers == {
        "dlt-topic": TOPIC,
        "dlt-partition": str(stored.partition),
        "dlt-offset": str(stored.offset),
        "dlt-group": "kafka-email-worker",
        "dlt-reason": "permanent",
        "dlt-stage": "rcpt",
        "dlt-code": "550",
        "dlt-attempts": "1",
        "dlt-replays": "0",
    }
    await eventually(lambda: "is a dead letter now" in caplog.text, 5)
    (line,) = [one for one in caplog.records if getattr(one, "kafka_email_event", "") == "dead_lettered"]
    assert (line.name, line.levelno) == ("kafka_email.worker", logging.ERROR)
    assert ANN not in caplog.text
    assert running.sink.count == 0


async def test_a_mail_whose_reply_was_lost_is_sent_again_with_the_same_id(running: Shop) -> None:
    running.sink.drop_next("dot")
    stored = await notify(ANN)
    assert [mail.event_id for mail in await running.mails(2)] == [stored.event_id] * 2


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_a_lost_connection_before_the_dot_costs_no_mail(running: Shop, stage: str) -> None:
    running.sink.drop_next(stage)  # type: ignore[arg-type]
    stored = await notify(ANN)
    assert [mail.event_id for mail in await running.mails(1)] == [stored.event_id]


async def test_an_event_that_is_stored_twice_is_delivered_once(running: Shop) -> None:
    for _ in range(2):
        running.produce(event(), {"ce_id": "twice", "ce_type": "welcome"}, ANN.encode())
    running.produce(event(), {"ce_id": "last", "ce_type": "welcome"}, ANN.encode())
    assert [mail.event_id for mail in await running.mails(2)] == ["twice", "last"]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"no JSON", {}, "poison"),
        (None, {}, "poison"),
        (event("ann@example.org, eve@example.org"), {}, "poison"),
        (event(), {"expires-at": "1700000000000"}, "too_old"),
        (event().replace(b'"welcome"', b'"unheard_of"'), {}, "template"),
    ],
)
async def test_what_can_never_be_delivered_is_a_dead_letter(
    running: Shop, value: bytes | None, headers: dict[str, str], reason: str, request: pytest.FixtureRequest
) -> None:
    event_id = f"bad-{abs(hash(request.node.name))}"
    running.produce(value, {"ce_id": event_id, **headers}, b"bad")
    letter = await dead_letter_of(running, event_id)
    assert letter.headers["dlt-reason"] == reason
    assert letter.raw_value == (value or b"")
    assert running.sink.count == 0


async def test_a_record_of_another_program_needs_no_headers_and_no_key(running: Shop) -> None:
    running.produce(event(BOB))
    (mail,) = await running.mails(1)
    assert mail.recipients == (BOB,)


async def test_an_event_that_has_not_expired_is_delivered(running: Shop) -> None:
    running.produce(event(), {"ce_id": "fresh", "expires-at": str(int(time.time() * 1000) + 60_000)})
    assert [mail.event_id for mail in await running.mails(1)] == ["fresh"]


async def test_a_mail_server_that_goes_away_loses_nothing(running: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_email.worker")

    def has_logged(name: str) -> bool:
        return any(getattr(record, "kafka_email_event", "") == name for record in caplog.records)

    running.sink.stop()
    stored = [await notify(f"reader{number}@example.org") for number in range(10)]
    await eventually(lambda: has_logged("smtp_unavailable"), 10)
    running.sink.start()
    mails = await running.mails(10)
    assert {mail.event_id for mail in mails} == {event.event_id for event in stored}
    await eventually(lambda: has_logged("smtp_recovered"), 10)
    assert "example.org" not in caplog.text
