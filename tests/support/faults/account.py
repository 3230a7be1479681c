"""What was published, held against what is stored."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from kafka_email import KafkaError, RecordMetadata
from support.faults.traffic import SLACK_S, Attempt, recipient
from support.kafka.consume import Received


@dataclass(frozen=True)
class Account:
    """The numbers of the events that broke a promise, by promise; and what else a test may want to know.

    Attributes:
        lost: the publish returned, and the topic does not hold this event at the partition and offset returned.
        duplicated: stored more than once, whatever the publish ended with.
        reordered: stored behind an event of the same recipient that was published later. All stored events count,
            also those whose publish failed with `maybe_delivered`.
        denied: the publish failed with `maybe_delivered` False, and the event is stored.
        late: the publish ended, either way, later than its deadline and `SLACK_S`.
        hung: how many publishes never ended.
        published: how many publishes began.
        failures: how many ended with each exception class and code.
        found: of those that failed with `maybe_delivered`, how many are stored.
        slowest_s: the longest publish.
    """

    lost: list[int]
    duplicated: list[int]
    reordered: list[int]
    denied: list[int]
    late: list[int]
    hung: int
    published: int
    failures: dict[str, int]
    found: int
    slowest_s: float

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.duplicated or self.reordered or self.denied or self.late or self.hung)

    @property
    def failed(self) -> int:
        """How many publishes raised."""
        return sum(self.failures.values())

    def __str__(self) -> str:
        broken = {name: getattr(self, name) for name in ("lost", "duplicated", "reordered", "denied", "late")}
        counts = " ".join(f"{name.upper()}={len(numbers)}" for name, numbers in broken.items())
        examples = "".join(f" {name}: {numbers[:10]}" for name, numbers in broken.items() if numbers)
        failures = "".join(f", {count} {kind}" for kind, count in self.failures.items())
        return (
            f"{counts} HUNG={self.hung} of {self.published} published, {self.failed} failed{failures} "
            f"({self.found} of them stored), slowest {self.slowest_s:.1f} s{examples}"
        )


class Published(Protocol):
    """What `settle` has to know of the traffic."""

    attempts: list[Attempt]
    deadline_s: float
    issued: int

    @property
    def hung(self) -> int:
        """How many never ended."""


class PublishedTo(Published, Protocol):
    """Traffic of one topic."""

    topic: str


def settle(traffic: Published, stored: Sequence[Received]) -> Account:
    """Compares what the publishes ended with and the whole topic, sorted by partition and offset."""
    places: dict[tuple[int, int], int] = {(record.partition, record.offset): _number(record) for record in stored}
    times_stored = Counter(places.values())
    acknowledged = [(a.number, a.result) for a in traffic.attempts if isinstance(a.result, RecordMetadata)]
    failed = [(a.number, a.result) for a in traffic.attempts if isinstance(a.result, KafkaError)]
    return Account(
        lost=[number for number, result in acknowledged if places.get((result.partition, result.offset)) != number],
        duplicated=[number for number, times in times_stored.items() if times > 1],
        reordered=_reordered(list(places.values())),
        denied=[number for number, error in failed if not error.maybe_delivered and number in times_stored],
        late=[a.number for a in traffic.attempts if a.seconds > traffic.deadline_s + SLACK_S],
        hung=traffic.hung,
        published=traffic.issued,
        failures=dict(Counter(f"{type(error).__name__} {error.code}" for _, error in failed)),
        found=sum(error.maybe_delivered and number in times_stored for number, error in failed),
        slowest_s=max(attempt.seconds for attempt in traffic.attempts),
    )


def _number(record: Received) -> int:
    event = json.loads(record.value or b"")
    number = event["metadata"]["number"]
    assert isinstance(number, int)
    assert (record.key or b"").decode() == event["recipient"] == recipient(number)
    return number


def _reordered(numbers: Sequence[int]) -> list[int]:
    """Numbers that come after a larger one of the same recipient; a second copy is no news."""
    by_recipient: dict[str, list[int]] = {}
    for number in dict.fromkeys(numbers):
        by_recipient.setdefault(recipient(number), []).append(number)
    return [later for row in by_recipient.values() for earlier, later in pairwise(row) if later < earlier]
