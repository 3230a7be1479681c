"""Mails as text, for a terminal."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

_HEADERS = ("From", "To", "Subject")


def as_text(raw: bytes) -> str:
    """Return the sender, the recipient, the subject and the text of a mail; its HTML if it has no text."""
    message = message_from_bytes(raw, policy=policy.default)
    head = "\n".join(f"{name}: {message[name]}" for name in _HEADERS)
    return f"{head}\n\n{body(message, 'plain') or body(message, 'html') or ''}"


def body(message: EmailMessage, kind: str) -> str | None:
    """Return the text (``plain``) or the HTML (``html``) of a mail, None when there is none."""
    part = message.get_body((kind,))
    return None if part is None else str(cast("EmailMessage", part).get_content()).replace("\r\n", "\n")
