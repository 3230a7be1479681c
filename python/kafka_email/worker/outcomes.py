"""Exceptions by which a handler says what becomes of its record."""

from __future__ import annotations

__all__ = ["Drop", "Permanent", "Retry"]


class Retry(Exception):
    """Call the handler again, as after any exception, but after a delay of its own choice.

    Args:
        delay_s: Seconds; as after any exception when None.

    Raises:
        ValueError: The delay is negative, or no number.
    """

    def __init__(self, delay_s: float | None = None) -> None:
        if delay_s is not None and not 0 <= delay_s < float("inf"):
            raise ValueError("delay_s is a number of seconds, from 0")
        super().__init__(delay_s)
        self.delay_s = delay_s


class Permanent(Exception):
    """The mail can never be delivered: the record becomes a dead letter.

    Args:
        reason: Why, for the log: without addresses, names and links.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Drop(Exception):
    """No mail is wanted: the record is finished.

    Args:
        reason: Why, for the log: without addresses, names and links.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
