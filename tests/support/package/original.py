"""The package that kafka-email takes the place of, as far as its bytes go: the oracle of the tests."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, EmailStr, Field

TIMESTAMP = datetime(2026, 11, 23, 16, 38, 13, 123456)
"""What the oracle writes; see `with_timestamp`."""


class EmailType(str, Enum):
    """Which e-mail to send."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"
    WELCOME = "welcome"
    NOTIFICATION = "notification"


def _header_safe(text: str) -> str:
    """The one deliberate difference: nothing that could inject a mail header, or has no UTF-8 form."""
    if set(text) & {"\0", "\r", "\n"} or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("NUL, CR, LF or a lone surrogate")
    return text


def _header_safe_as_given(recipient: Any) -> Any:
    """Before a display name is dropped: the key is the address as given."""
    return _header_safe(recipient) if isinstance(recipient, str) else recipient


class Payload(BaseModel):
    """The original's model."""

    email_type: EmailType
    recipient: Annotated[EmailStr, BeforeValidator(_header_safe_as_given)]
    username: Annotated[str, AfterValidator(_header_safe)]
    link: str
    timestamp: datetime = Field(default_factory=lambda: datetime.now(timezone.utc).replace(tzinfo=None))
    metadata: dict[str, Any] = Field(default_factory=dict)


def original_bytes(email_type: str, recipient: Any, username: Any, link: Any, metadata: Any) -> bytes:
    """The value that the original wrote, at `TIMESTAMP`.

    Raises:
        pydantic.ValidationError: the event is not valid.
        Exception: whatever Pydantic or `json` say about metadata that has no JSON form.
    """
    fields = {"email_type": email_type, "recipient": recipient, "username": username, "link": link}
    payload = Payload.model_validate(
        {**fields, "timestamp": TIMESTAMP, "metadata": {} if metadata is None else metadata}
    )
    return json.dumps(payload.model_dump(mode="json")).encode()


def with_timestamp(value: bytes) -> bytes:
    """A value that was written now, as if it had been written at `TIMESTAMP`."""
    decoded = json.loads(value)
    assert isinstance(decoded, Mapping)
    written = decoded["timestamp"].encode()
    datetime.fromisoformat(decoded["timestamp"])
    assert value.count(b'"timestamp": "' + written + b'", "metadata": ') == 1
    return value.replace(b'"timestamp": "' + written, b'"timestamp": "' + TIMESTAMP.isoformat().encode())
