"""Which recipients were moved: a share of all of them, chosen by a hash, which only grows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any, TypeAlias

_BYTES = 6  # the hash as a fraction is exact in a float, and below 1
_WHOLE = 1 << (8 * _BYTES)

Share: TypeAlias = "float | str | Callable[[], float]"


def read_share(share: Share) -> float:
    """Return the share: the number, what the callable returns, or the number in the environment variable.

    Nothing is moved while the variable is not set.

    Raises:
        ValueError: It is not a number from 0 to 1.
    """
    if isinstance(share, str):
        return _checked(os.environ.get(share, "0"), f"the environment variable {share}")
    return _checked(share(), "what `share` returned") if callable(share) else _checked(share, "share")


def _checked(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise ValueError(f"{what} must be a number from 0 to 1")
    return number


def is_moved(recipient: object, share: float) -> bool:
    """Return whether the share includes a recipient. A larger share includes all recipients of a smaller one.

    Addresses that differ in case only are one recipient.
    """
    address = str(recipient).casefold().encode("utf-8", "surrogatepass")
    place = int.from_bytes(hashlib.blake2b(address, digest_size=_BYTES).digest(), "big")
    return place < share * _WHOLE
