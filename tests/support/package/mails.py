"""Mails, and clients that send them to an SMTP sink."""

import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from kafka_email.testing import SmtpSink

SENDER = "shop@example.com"
ADA = "ada@example.com"


def mail(event_id: str = "0190-ada", text: str = "Hello Ada") -> EmailMessage:
    """A mail as the worker builds it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, ADA, "Grüße"
    message["Message-ID"] = f"<{event_id}@example.com>"
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    return message


@contextmanager
def connected(sink: SmtpSink, **options: Any) -> Iterator[smtplib.SMTP]:
    """A session that is not greeted yet; however it ends, its socket is closed."""
    client = smtplib.SMTP(sink.host, sink.port, timeout=10, **options)
    try:
        yield client
    finally:
        client.close()


def send(sink: SmtpSink, message: EmailMessage | None = None) -> None:
    """Sends a mail in a session of its own."""
    with connected(sink) as client:
        client.send_message(message or mail())


def raw_session(sink: SmtpSink, *parts: bytes) -> bytes:
    """Sends parts in one write each, and returns everything that the sink sends until it closes."""
    with socket.create_connection((sink.host, sink.port), 10) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        while read := connection.recv(65536):
            received += read
        return received


def codes(replies: bytes) -> list[int]:
    """The codes of replies, multiline ones once."""
    return [int(line[:3]) for line in replies.decode().splitlines() if line[3:4] == " "]
