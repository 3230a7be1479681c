"""Keys and headers, from what the caller has to what goes over the wire."""

from __future__ import annotations

import sys
from collections.abc import Mapping

Headers = Mapping[str, "str | bytes"]

RESERVED_HEADERS = frozenset({"ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"})


def encode_key(key: str | bytes | None) -> bytes | None:
    """Encode a key; an empty one is none.

    Raises:
        TypeError: The key is neither text nor bytes.
    """
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    raise TypeError(f"a key is str, bytes or None, not {type(key).__name__}")


def is_tracing() -> bool:
    """Tell whether the application may have an active trace: one that traces has imported OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


def encode_headers(headers: Headers | None) -> list[tuple[str, bytes]] | None:
    """Encode the caller's headers, and the active trace's if there is one (W3C Trace Context).

    Raises:
        TypeError: A name is not text, or a value neither text nor bytes.
        ValueError: A name is empty, holds NUL, or is one that the package sets itself.
    """
    encoded = {} if headers is None else dict(_encode_header(name, value) for name, value in headers.items())
    if is_tracing():
        for name, value in _trace_headers().items():
            encoded.setdefault(name, value.encode())
    return list(encoded.items()) if encoded else None


def _encode_header(name: str, value: str | bytes) -> tuple[str, bytes]:
    if not isinstance(name, str) or not isinstance(value, (str, bytes)):
        raise TypeError(f"headers are str -> str or bytes, not {type(name).__name__} -> {type(value).__name__}")
    if not name or "\0" in name:
        raise ValueError("a header name is not empty and holds no NUL")
    if name in RESERVED_HEADERS:
        raise ValueError(f"the header {name!r} is set by kafka-email itself: choose another name")
    return name, value.encode() if isinstance(value, str) else value


def _trace_headers() -> dict[str, str]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        TraceContextTextMapPropagator().inject(carrier)
    return carrier
