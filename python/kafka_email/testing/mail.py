"""Mails, as a test reads them."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import cached_property
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from email.message import EmailMessage

__all__ = ["CapturedMail", "ReceivedMail"]


class Content:
    """The content of a mail, decoded."""

    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The content, parsed by Python's ``email`` package when it is first asked for."""
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        """The subject, decoded; empty when there is none."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str | None:
        """The plain text, decoded and with LF at the ends of lines; None when there is none."""
        return self._body("plain")

    @property
    def html(self) -> str | None:
        """The HTML, decoded and with LF at the ends of lines; None when there is none."""
        return self._body("html")

    def _body(self, kind: str) -> str | None:
        part = self.message.get_body((kind,))
        # SMTP ends lines with CRLF.
        return None if part is None else str(cast("EmailMessage", part).get_content()).replace("\r\n", "\n")


@dataclass(frozen=True, repr=False)
class CapturedMail(Content):
    """A mail that a worker would have sent. Its ``repr`` shows no personal data.

    Attributes:
        email_type: ``verification`` and so on.
        recipient: Recipient of the envelope.
        raw: The content.
    """

    email_type: str
    recipient: str
    raw: bytes

    def __repr__(self) -> str:
        return f"<CapturedMail {self.email_type} bytes={len(self.raw)}>"


@dataclass(frozen=True, repr=False)
class ReceivedMail(Content):
    """A mail, as the client sent it. Its ``repr`` shows no personal data.

    Attributes:
        sender: Sender of the envelope, empty for a bounce.
        recipients: Recipients of the envelope.
        raw: The content, without the dots that SMTP adds.
        event_id: What stands before the ``@`` in the Message-ID, None without a Message-ID. The worker puts the event's
            id there.
    """

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    event_id: str | None

    def __repr__(self) -> str:
        return f"<ReceivedMail event_id={self.event_id!r} recipients={len(self.recipients)} bytes={len(self.raw)}>"
