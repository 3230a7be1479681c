"""`captured_mails()`: what is published is rendered, and not sent."""

from pathlib import Path

import pytest

from kafka_email import BasePublisher, ConfigurationError, EmailPublisher, kafka_manager
from kafka_email.testing import CapturedMail, captured_mails
from kafka_email.worker import Worker, WorkerConfig
from support.package.embedded import ADDRESS

LINK = "https://shop.example.com/verify?token=a/b&c=d"


async def test_mails_are_rendered(captured_mails: list[CapturedMail]) -> None:
    await EmailPublisher().publish_verification_email(ADDRESS, "Ann", LINK)
    await BasePublisher("user-events").publish({"n": 1})
    (mail,) = captured_mails
    assert (mail.email_type, mail.recipient, mail.message["To"]) == ("verification", ADDRESS, ADDRESS)
    assert LINK in (mail.text or "")
    assert "Ann" in (mail.html or "")
    assert mail.subject
    assert ADDRESS not in repr(mail)


async def test_the_templates_and_the_sender_are_those_of_the_worker(tmp_path: Path) -> None:
    (tmp_path / "note.html").write_text("<p>{{ username }}</p>")
    worker = Worker(WorkerConfig(from_address="shop@example.com", templates=tmp_path))
    worker.template("welcome", html="note.html", subject="Hi {{ username }}")
    worker.handler("notification")(lambda event, context: None)
    with captured_mails(worker) as mails:
        await EmailPublisher().publish_notification_email(ADDRESS, "Ann", LINK)
        await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
    (mail,) = mails
    assert (mail.subject, mail.html, mail.message["From"]) == ("Hi Ann", "<p>Ann</p>\n", "shop@example.com")


async def test_what_would_be_a_dead_letter_is_an_error() -> None:
    with captured_mails() as mails:
        with pytest.raises(ConfigurationError, match="no template"):
            await BasePublisher(kafka_manager.email_topic).publish({"email_type": "invoice", "recipient": ADDRESS})
        with pytest.raises(ValueError, match="no recipient"):
            await BasePublisher(kafka_manager.email_topic).publish({"n": 1})
    assert mails == []
