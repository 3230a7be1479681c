"""The judgement of the worker's fault test finds what it is to find."""

import pytest

from kafka_email import RecordMetadata
from support.faults.traffic import Attempt
from support.worker.account import Faults, settle

NONE = Faults(kills=0, at_work=5, rate=100, lost_replies=0, unrecorded=0)
# Events 0 and 1 have the same key.
ATTEMPTS = [Attempt(number, 0.1, RecordMetadata("t", 0, number, 0, f"e{number}")) for number in range(3)]


@pytest.mark.parametrize(
    ("delivered", "buried", "lost", "reordered", "duplicates"),
    [
        (["e0", "e1", "e2"], [], [], [], 0),
        (["e2", "e0"], ["e1"], [], [], 0),
        (["e0", "e2"], [], ["e1"], [], 0),
        (["e1", "e0", "e2"], [], [], ["e0"], 0),
        (["e1", "e0", "e2"], ["e0"], [], [], 0),
        (["e0", "e1", "e0", "e2"], [], [], [], 1),
        (["e0", "e1", "e2", "of another topic"], [], [], [], 0),
    ],
)
def test_what_is_found(
    delivered: list[str], buried: list[str], lost: list[str], reordered: list[str], duplicates: int
) -> None:
    account = settle(ATTEMPTS, delivered, buried, NONE)
    assert (account.lost, account.reordered, account.duplicates) == (lost, reordered, duplicates)
    assert account.is_clean == (not lost and not reordered and not duplicates)


def test_what_faults_account_for() -> None:
    faults = Faults(kills=2, at_work=5, rate=100, lost_replies=3, unrecorded=7)
    assert faults.duplicates == 2 * (5 + 10) + 3 + 7
    assert settle(ATTEMPTS, ["e0", "e1", "e2", *["e0"] * 40], [], faults).is_clean
    assert not settle(ATTEMPTS, ["e0", "e1", "e2", *["e0"] * 41], [], faults).is_clean
