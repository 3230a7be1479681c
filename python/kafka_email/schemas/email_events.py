"""The e-mail event as a Pydantic model: it decides what is valid, and describes what consumers read."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, EmailStr, Field

__all__ = ["EmailEventPayload", "EmailEventType"]

_UNSAFE = re.compile("[\0\r\n\ud800-\udfff]")


class EmailEventType(str, Enum):
    """Which e-mail to send."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name, not a secret
    WELCOME = "welcome"
    NOTIFICATION = "notification"

    def __str__(self) -> str:
        return str(self.value)


def _refuse_header_injection(text: str) -> str:
    if _UNSAFE.search(text):
        raise ValueError("must not contain NUL, CR, LF or a lone surrogate: mail headers could be injected")
    return text


def _refuse_header_injection_as_given(recipient: Any) -> Any:
    # Runs before EmailStr, which drops a display name: the key of the record is the address as given.
    return _refuse_header_injection(recipient) if isinstance(recipient, str) else recipient


def _naive_utc_now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


_HeaderSafe = AfterValidator(_refuse_header_injection)
_HeaderSafeAsGiven = BeforeValidator(_refuse_header_injection_as_given)


class EmailEventPayload(BaseModel):
    """One e-mail job.

    ``json.dumps(payload.model_dump(mode="json"))`` is the value of the record, byte for byte.
    """

    email_type: EmailEventType = Field(description="Which e-mail to send.")
    recipient: Annotated[EmailStr, _HeaderSafeAsGiven] = Field(description="Address; its domain is normalised.")
    username: Annotated[str, _HeaderSafe] = Field(description="How to greet the recipient.")
    link: str = Field(description="Any string: a URL, a path, an app link; empty when there is none.")
    timestamp: datetime = Field(default_factory=_naive_utc_now, description="Naive UTC time of the event.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Whatever else the e-mail service needs.")
