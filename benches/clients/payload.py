"""The event as an application without kafka-email encodes it: a Pydantic model that checks it, or none, and `json`."""

import json
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from pydantic import BaseModel, EmailStr, Field


class EmailType(str, Enum):
    """Which e-mail to send."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"
    WELCOME = "welcome"
    NOTIFICATION = "notification"


class Payload(BaseModel):
    """An e-mail job, field for field that of the original package."""

    email_type: EmailType
    recipient: EmailStr
    username: str
    link: str
    timestamp: datetime = Field(default_factory=lambda: datetime.now(timezone.utc).replace(tzinfo=None))
    metadata: dict[str, Any] = Field(default_factory=dict)


def checked(email: str, username: str, link: str) -> Payload:
    """The event, valid."""
    return Payload(email_type=EmailType.VERIFICATION, recipient=email, username=username, link=link)


def encoded(email: str, username: str, link: str) -> bytes:
    """The bytes of the event, valid."""
    return json.dumps(checked(email, username, link).model_dump(mode="json")).encode()


def unchecked(email: str, username: str, link: str) -> bytes:
    """The bytes of the event, whether it is valid or not."""
    event = {
        "email_type": "verification",
        "recipient": email,
        "username": username,
        "link": link,
        "timestamp": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
        "metadata": {},
    }
    return json.dumps(event).encode()
