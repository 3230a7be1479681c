"""What was published, held against what the mail server accepted and what became a dead letter."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kafka_email import RecordMetadata
from support.faults.traffic import Attempt, recipient


@dataclass(frozen=True)
class Account:
    """The event ids that broke a promise, and what else happened.

    Attributes:
        lost: acknowledged by Kafka, neither accepted by the mail server nor a dead letter.
        reordered: first accepted before an event of the same key with a smaller offset. Dead letters are excepted.
        duplicates: mails that were accepted beyond the first of their events.
        allowed: how many of them the faults account for.
        acknowledged: how many events were.
        buried: how many of them became dead letters.
        kills: how many workers were killed, or frozen for longer than their session.
    """

    lost: list[str]
    reordered: list[str]
    duplicates: int
    allowed: int
    acknowledged: int
    buried: int
    kills: int

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.lost and not self.reordered and self.duplicates <= self.allowed

    def __str__(self) -> str:
        return (
            f"LOST={len(self.lost)} ORDER={len(self.reordered)} DUP={self.duplicates} (at most {self.allowed}) "
            f"of {self.acknowledged} acknowledged, {self.buried} dead letters, {self.kills} kills"
        )


@dataclass(frozen=True)
class Faults:
    """The faults that may send a mail twice."""

    kills: int
    at_work: int
    """Records that one worker works on at a time."""
    rate: float
    """Mails that one worker sends in a second."""
    lost_replies: int
    unrecorded: int
    """Mails that are published while no broker takes a commit."""

    @property
    def duplicates(self) -> int:
        """How many mails may be sent twice: those at work and those not yet committed."""
        return round(self.kills * (self.at_work + self.rate * 0.1)) + self.lost_replies + self.unrecorded


def settle(attempts: Iterable[Attempt], delivered: Sequence[str], buried: Iterable[str], faults: Faults) -> Account:
    """Compares what the publishes ended with, the ledger in its order, and the ids of the dead letters."""
    acknowledged = {a.result.event_id: a for a in attempts if isinstance(a.result, RecordMetadata)}
    letters = set(buried)
    ledger = [event_id for event_id in delivered if event_id in acknowledged]
    times = Counter(ledger)
    return Account(
        lost=[event_id for event_id in acknowledged if event_id not in times and event_id not in letters],
        reordered=_reordered(acknowledged, [event_id for event_id in times if event_id not in letters]),
        duplicates=sum(count - 1 for count in times.values()),
        allowed=faults.duplicates,
        acknowledged=len(acknowledged),
        buried=len(letters & acknowledged.keys()),
        kills=faults.kills,
    )


def _reordered(acknowledged: dict[str, Attempt], first_deliveries: Sequence[str]) -> list[str]:
    """Those that come after one of the same key with a larger offset."""
    by_key: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for event_id in first_deliveries:
        attempt = acknowledged[event_id]
        assert isinstance(attempt.result, RecordMetadata)
        by_key[recipient(attempt.number)].append((attempt.result.offset, event_id))
    return [later for row in by_key.values() for (before, _), (offset, later) in pairwise(row) if offset < before]
