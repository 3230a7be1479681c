"""Keys, ids and headers of records: from the caller's types to the bytes that Kafka stores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

Headers: TypeAlias = "Mapping[str, str | bytes]"
EncodedHeaders: TypeAlias = "list[tuple[str, bytes]] | None"

EXPIRES_AT = "expires-at"
"""Name of the header that tells a delivery worker when an event is too old: milliseconds since the Unix epoch."""

RESERVED_HEADERS = frozenset({"ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"})

_EVENT_ID = re.compile("[!-~]{1,128}")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def encode_key(key: str | bytes | None) -> bytes | None:
    """Encode a key. The native half takes an empty key for no key.

    Raises:
        TypeError: The key is neither text nor bytes.
        UnicodeEncodeError: The key holds a lone surrogate.
    """
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return _utf8(key, "a key")
    raise TypeError(f"a key is str, bytes or None, not {type(key).__name__}")


def encode_headers(headers: Headers | None, expires_at: datetime | None = None) -> EncodedHeaders:
    """Encode the headers of a publish, with the one that says when its event expires.

    Raises:
        TypeError: The headers are not a mapping, a name is not text, a value is neither text nor bytes, or
            ``expires_at`` is no datetime.
        UnicodeEncodeError: A name or a value holds a lone surrogate.
        ValueError: A name is empty, holds NUL, or is one of the headers that the package sets itself.
    """
    if headers is None and expires_at is None:
        return None
    encoded = [
        _encode_header(name, value) for name, value in checked_headers({} if headers is None else headers).items()
    ]
    if expires_at is not None:
        if any(name == EXPIRES_AT for name, _ in encoded):
            raise ValueError(
                f"expires_at sets the header {EXPIRES_AT!r}, which stands in headers too: give one of them"
            )
        encoded.append((EXPIRES_AT, str(_milliseconds(expires_at)).encode()))
    return encoded or None


def given(**options: Any) -> dict[str, Any]:
    """Return the options that a caller gave: a method written for the original package takes none of them."""
    return {name: value for name, value in options.items() if value is not None}


def checked_event_id(event_id: str | None) -> str | None:
    """Return the caller's id of an event.

    Raises:
        TypeError: It is not text.
        ValueError: It is not 1 to 128 printable ASCII characters without spaces.
    """
    if event_id is None:
        return None
    if not isinstance(event_id, str):
        raise TypeError(f"an event_id is str, not {type(event_id).__name__}: str(id)")
    if not _EVENT_ID.fullmatch(event_id):
        raise ValueError("an event_id is 1 to 128 printable ASCII characters without spaces")
    return event_id


def _milliseconds(moment: datetime) -> int:
    """Count the milliseconds from the Unix epoch to a moment; a naive one is UTC."""
    if not isinstance(moment, datetime):
        raise TypeError(f"expires_at is a datetime, not {type(moment).__name__}")
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def checked_headers(headers: Headers) -> Headers:
    """Return the headers.

    Raises:
        TypeError: They are not a mapping: pairs, for instance, which other clients take.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers are a mapping of names to str or bytes, not {type(headers).__name__}: dict(pairs)")
    return headers


def _encode_header(name: str, value: str | bytes) -> tuple[str, bytes]:
    if not isinstance(name, str) or not isinstance(value, (str, bytes)):
        raise TypeError(f"headers are str -> str or bytes, not {type(name).__name__} -> {type(value).__name__}")
    if not name or "\0" in name:
        raise ValueError("a header name is not empty and holds no NUL")
    if name in RESERVED_HEADERS:
        raise ValueError(f"the header {name!r} is set by kafka-email itself: choose another name")
    _utf8(name, "a header name")
    return name, _utf8(value, "a header value") if isinstance(value, str) else value


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        start = error.start
    # Raised anew, outside of the `except` block: Python's own error holds the whole text and shows it in its repr.
    raise UnicodeEncodeError("utf-8", text[start], 0, 1, f"{what} holds a lone surrogate at index {start}")
