"""What is published: the same events for every client, about 300 bytes each with key and headers."""

from collections.abc import Iterator
from itertools import cycle, islice

RECIPIENTS = 64

EVENTS: list[tuple[str, str, str]] = [
    (f"user{n}@gmail.com", f"Ada Lovelace {n}", f"https://shop.example.com/verify?token={n * 2654435761 % 10**20:020d}")
    for n in range(1, RECIPIENTS + 1)
]
"""Address, username and link, some 60 characters long."""


def events_from(start: int) -> Iterator[tuple[str, str, str]]:
    """All events again and again, beginning with one of them."""
    return islice(cycle(EVENTS), start % RECIPIENTS, None)
