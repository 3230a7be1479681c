"""The options of ``apply_async`` and of Celery's decorator: which have an effect, and which cannot have one here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

_WITH_EFFECT = frozenset({"task_id", "expires", "headers", "queue", "countdown", "eta"})
_WITHOUT_EFFECT = frozenset(
    {
        *("priority", "routing_key", "exchange", "serializer", "compression", "retry", "retry_policy", "shadow"),
        *("time_limit", "soft_time_limit", "ignore_result", "add_to_parent", "connection", "producer"),
        "delivery_mode",
    }
)
_FOLLOW_UPS = frozenset(
    {
        *("link", "link_error", "chord", "chain", "group_id", "group_index", "parent_id", "root_id", "reply_to"),
        *("replaced_task_nesting", "stamped_headers"),
    }
)
_OF_THE_DECORATOR = frozenset(
    {
        *("ignore_result", "acks_late", "max_retries", "autoretry_for", "default_retry_delay", "rate_limit"),
        *("time_limit", "soft_time_limit"),
    }
)
KNOWN = _WITH_EFFECT | _WITHOUT_EFFECT | _FOLLOW_UPS
"""Every option of ``apply_async``."""

_LATE = (
    "kafka_email.celery publishes at once: countdown and eta cannot be in the future. To wait for the commit of a "
    "transaction, call delay_on_commit, or write the event to the outbox"
)


def check_options(options: Mapping[str, Any], now: datetime) -> None:
    """Check the options of ``apply_async``.

    Args:
        options: The options by name; None means that a follow-up is not given, as in Celery.
        now: The time, with its zone.

    Raises:
        NotImplementedError: The option asks for follow-up work or for a later time.
        TypeError: There is no such option, or its value is of a wrong type.
    """
    for name in options.keys() - KNOWN:
        raise TypeError(f"apply_async() has no option {name!r}{_instead_of(name, KNOWN)}")
    for name in options.keys() & _FOLLOW_UPS:
        if options[name] is not None:
            message = (
                f"kafka_email.celery has no {name}: follow-up work is done by a second consumer group of the topic"
            )
            raise NotImplementedError(message)
    if _is_late(options.get("countdown"), options.get("eta"), now):
        raise NotImplementedError(_LATE)


def _is_late(countdown: Any, eta: Any, now: datetime) -> bool:
    if eta is not None and not isinstance(eta, datetime):
        raise TypeError("eta must be a datetime")
    return (countdown is not None and countdown > 0) or (eta is not None and _in_utc(eta) > now)


def check_decorator(options: Iterable[str]) -> None:
    """Check the options of the decorator that have no effect, because the worker does the retries.

    Raises:
        TypeError: There is no such option here.
    """
    for name in options:
        if name in {"bind", "base"}:
            raise TypeError(f"email_task() has no {name}: the task has no body that a worker runs; leave it out")
        if name not in _OF_THE_DECORATOR and not name.startswith("retry_"):
            effective = {"recipient", "username", "link", "wait", "queues", "name", "queue", "expires"}
            raise TypeError(f"email_task() has no option {name!r}{_instead_of(name, effective | _OF_THE_DECORATOR)}")


def expires_at(expires: Any, now: datetime) -> datetime | None:
    """Return the time of Celery's ``expires``: seconds from now, or a datetime, of which a naive one means UTC.

    Raises:
        TypeError: It is neither.
        ValueError: The time is out of range.
    """
    if expires is None or isinstance(expires, datetime):
        return expires
    try:
        return now + timedelta(seconds=expires)
    except OverflowError:
        raise ValueError("expires is out of range: seconds from now, or a datetime") from None
    except TypeError:
        raise TypeError("expires must be seconds from now, or a datetime") from None


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time


def _instead_of(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
