"""Keys and headers of records: from the caller's types to the bytes that Kafka stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Headers: TypeAlias = "Mapping[str, str | bytes]"
EncodedHeaders: TypeAlias = "list[tuple[str, bytes]] | None"

RESERVED_HEADERS = frozenset({"ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"})


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


def encode_headers(headers: Headers | None) -> EncodedHeaders:
    """Encode the headers of a publish.

    Raises:
        TypeError: The headers are not a mapping, a name is not text, or a value is neither text nor bytes.
        UnicodeEncodeError: A name or a value holds a lone surrogate.
        ValueError: A name is empty, holds NUL, or is one of the headers that the package sets itself.
    """
    if headers is None:
        return None
    return [_encode_header(name, value) for name, value in checked_headers(headers).items()] or None


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
