"""A mail that a handler composes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Attachment", "Mail"]


@dataclass(frozen=True, repr=False)
class Attachment:
    """A file that goes with a mail.

    Attributes:
        filename: Name that the recipient sees.
        content: The file's bytes.
        content_type: Its type, such as ``application/pdf``.
        cid: Content id of an inline image, which the HTML shows by ``<img src="cid:...">``.

    Raises:
        TypeError: One of them is of a wrong type.
    """

    filename: str
    content: bytes
    content_type: str
    cid: str | None = None

    def __post_init__(self) -> None:
        _check(self, filename=str, content=bytes, content_type=str, cid=(str, type(None)))

    def __repr__(self) -> str:
        return f"<Attachment {self.content_type} bytes={len(self.content)}>"


@dataclass(frozen=True, repr=False)
class Mail:
    """A mail for the recipient of an event, which the worker sends when a handler returns it.

    Its ``repr`` shows no personal data.

    Attributes:
        subject: The subject.
        text: The plain text.
        html: The HTML. A mail has a text, an HTML, or both.
        attachments: Files.
        inline: Images that the HTML shows; each has a ``cid``.
        reply_to: Address in Reply-To; the worker's own when None.
        from_name: Display name in From; the worker's own when None.
        headers: Further headers by name.

    Raises:
        TypeError: One of them is of a wrong type.
        ValueError: There is neither text nor HTML, or an inline image has no ``cid``.
    """

    subject: str
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    inline: Sequence[Attachment] = ()
    reply_to: str | None = None
    from_name: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        optional = (str, type(None))
        _check(self, subject=str, text=optional, html=optional, reply_to=optional, from_name=optional, headers=Mapping)
        _check(self, attachments=Sequence, inline=Sequence)
        if not all(isinstance(attachment, Attachment) for attachment in (*self.attachments, *self.inline)):
            raise TypeError("attachments and inline of a Mail are lists of Attachment")
        if not all(isinstance(text, str) for header in self.headers.items() for text in header):
            raise TypeError("headers of a Mail are str -> str")
        if self.text is None and self.html is None:
            raise ValueError("a Mail has a text, an html, or both")
        if any(image.cid is None for image in self.inline):
            raise ValueError("an inline image has a cid, by which the HTML shows it")

    def __repr__(self) -> str:
        bodies = [name for name in ("text", "html") if getattr(self, name) is not None]
        return f"<Mail {'+'.join(bodies)} attachments={len(self.attachments)} inline={len(self.inline)}>"


def _check(value: object, **types: Any) -> None:
    for name, expected in types.items():
        given = getattr(value, name)
        if not isinstance(given, expected):
            raise TypeError(f"{name} of {type(value).__name__} cannot be of type {type(given).__name__}")
