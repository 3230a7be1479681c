"""Starting and stopping a delivery worker, and what it says about itself."""

import asyncio
import logging
from pathlib import Path

import pytest

from kafka_email import ConfigurationError, NotStartedError
from kafka_email.testing import EmbeddedBroker, SmtpSink
from kafka_email.worker import Context, EmailEvent, SmtpConfig, Worker
from support.package.embedded import TOPIC, config_for, eventually
from support.package.working import SENDER, notify, shop, smtp_config, worker_config

ANN = "ann@example.org"


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "kafka_email_event", "") == name]


async def refusal(broker: EmbeddedBroker, smtp: SmtpConfig) -> str:
    """What the start of a worker raises."""
    worker = Worker(worker_config(), kafka=config_for(broker), smtp=smtp)
    with pytest.raises(ConfigurationError) as caught:
        await worker.start()
    assert not await worker.health()
    return str(caught.value)


async def test_mistakes_that_the_mail_server_shows_are_raised(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    assert "SMTP_SECURITY=none" in await refusal(broker, smtp_config(sink, security="starttls"))
    with SmtpSink(users={"shop": "right"}) as guarded:
        text = await refusal(broker, smtp_config(guarded, username="shop", password="wrong"))
        assert "535" in text
        assert "wrong" not in text


async def test_mistakes_in_templates_are_raised(broker: EmbeddedBroker, sink: SmtpSink, tmp_path: Path) -> None:
    (tmp_path / "welcome.subject.txt").write_text("Hi")
    (tmp_path / "welcome.txt").write_text("\n{{ username")
    worker = Worker(worker_config(templates=tmp_path), kafka=config_for(broker), smtp=smtp_config(sink))
    with pytest.raises(ConfigurationError, match=r"welcome\.txt"):
        await worker.start()


async def test_named_templates_are_used_and_the_worker_can_start_again(tmp_path: Path) -> None:
    (tmp_path / "note.html").write_text("<p>{{ username }}</p>")
    async with shop() as running:
        worker = running.worker(templates=tmp_path)
        worker.template("notification", html="note.html", subject="For {{ username }}")
        await asyncio.gather(worker.start(), worker.start())
        with pytest.raises(RuntimeError, match="runs already"):
            worker.template("welcome", html="note.html", subject="Hi")
        await notify(ANN)
        (mail,) = await running.mails(1)
        assert (mail.subject, mail.html, mail.text) == ("For Ann", "<p>Ann</p>\n", None)
        health = await worker.health()
        assert health
        assert health.partitions == 2
        await worker.stop()
        assert (await worker.stop()).as_dict() == {"finished": 0, "abandoned": 0, "elapsed_s": 0.0}
        assert not await worker.health()
        assert (await worker.wait_ended()).how == "drained"
        await worker.start()
        await worker.stop()


async def test_mails_go_to_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as running:
        worker = Worker(worker_config(mail_folder=tmp_path), kafka=running.kafka)
        async with worker:
            stored = await notify(ANN)
            file = tmp_path / f"{stored.event_id}.eml"
            await eventually(file.exists, 10)
        assert b"To: <ann@example.org>" in file.read_bytes()
        assert running.sink.count == 0


async def test_a_stop_lets_records_at_work_finish_and_cuts_them_off_after_its_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with shop() as running:
        worker = running.worker()
        begun, go_on, finished = asyncio.Event(), asyncio.Event(), []

        @worker.handler("notification")
        async def slow(event: EmailEvent, context: Context) -> None:
            begun.set()
            await go_on.wait()
            finished.append(event)

        await worker.start()
        await notify(ANN)
        await asyncio.wait_for(begun.wait(), 10)
        assert (await worker.health()).at_work in {0, 1}  # seen twice a second
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        go_on.set()
        report = await stopping
        assert (report.finished, report.abandoned, len(finished)) == (1, 0, 1)

        begun.clear()
        go_on.clear()
        await worker.start()
        await notify(ANN)
        await asyncio.wait_for(begun.wait(), 15)
        report = await worker.stop(0.1)
        assert (report.finished, report.abandoned, len(finished)) == (0, 1, 1)
    assert lines(caplog, "drain_incomplete") != []


async def test_a_worker_waits_for_servers_that_are_away(caplog: pytest.LogCaptureFixture) -> None:
    async with shop() as running:
        running.sink.stop()
        worker = running.worker()
        async with worker:
            await notify(ANN)
            await eventually(lambda: lines(caplog, "smtp_unavailable") != [], 10)
            running.sink.start()
            await running.mails(1)
        running.broker.broker_down()
        async with running.worker() as other:
            assert not await other.health()
        running.broker.broker_up()


async def test_a_start_that_is_cancelled_leaves_nothing(broker: EmbeddedBroker, sink: SmtpSink) -> None:
    worker = Worker(worker_config(), kafka=config_for(broker), smtp=smtp_config(sink))
    starting = asyncio.create_task(worker.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (await worker.wait_ended()).how == "drained"
    assert not await worker.health()


async def test_workers_of_one_group_hand_over_without_loss_and_duplicates() -> None:
    async with shop() as running:
        first, second = running.worker(), running.worker()
        await first.start()
        stored = [await notify(f"reader{number}@example.org") for number in range(10)]
        await running.mails(10)
        await second.start()
        stored += [await notify(f"reader{number}@example.org") for number in range(10)]
        await first.stop()
        stored += [await notify(f"reader{number}@example.org") for number in range(10)]
        mails = await asyncio.to_thread(running.sink.wait_for, 30, 25)
        assert sorted(mail.event_id or "" for mail in mails) == sorted(event.event_id for event in stored)
        await second.stop()


async def test_the_mail_servers_tokens_come_from_the_application(broker: EmbeddedBroker) -> None:
    asked = []

    async def token() -> str:
        asked.append(1)
        return "t0ken"

    with SmtpSink(users={"shop": "t0ken"}) as guarded:
        smtp = smtp_config(guarded, username="shop", token_provider=token)
        worker = Worker(worker_config(), kafka=config_for(broker), smtp=smtp)
        async with worker:
            assert asked == [1]


async def test_the_environment_configures_it_and_variables_of_others_are_named(
    broker: EmbeddedBroker, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kafka_email.worker")
    for name, value in {
        "MAIL_SERVER": sink.host,
        "MAIL_PORT": str(sink.port),
        "MAIL_FROM": SENDER,
        "MAIL_STARTTLS": "false",
        "KAFKA_WORKER_GROUP_ID": "shop",
    }.items():
        monkeypatch.setenv(name, value)
    worker = Worker(kafka=config_for(broker))
    async with worker:
        assert lines(caplog, "worker_started") == [f"started: group shop, topics {TOPIC}"]
    (line,) = lines(caplog, "foreign_variables")
    assert {"MAIL_SERVER", "MAIL_PORT", "MAIL_FROM", "MAIL_STARTTLS"} <= set(line.replace(",", "").split())
    assert SENDER not in caplog.text
    assert len(lines(caplog, "worker_stopped")) == 1


async def test_before_the_start_it_says_so() -> None:
    worker = Worker()
    assert not await worker.health()
    assert (await worker.stop()).finished == 0
    worker.abort()
    with pytest.raises(NotStartedError, match="not started"):
        await worker.wait_ended()
