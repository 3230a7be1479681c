"""The page of figures that the fault tests write."""

from collections.abc import Mapping

from support.faults.account import Account

_HEAD = """# Figures of the fault tests

Written by `FIGURES=docs/fault-figures.md make test-faults`; [guarantees.md](guarantees.md) says what each test is for.
In every row 0 events were lost, duplicated, reordered, denied, late or hung, or the test fails. "Stored" counts the
failed events that an error with `maybe_delivered` allowed for.

| test | published | failed | stored | slowest |
|---|---:|---:|---:|---:|
"""


def page(accounts: Mapping[str, Account]) -> str:
    """Write the page, one row for each run of traffic by the name of its test."""
    return _HEAD + "".join(_row(name, account) for name, account in sorted(accounts.items()))


def _row(name: str, account: Account) -> str:
    counts = f"{account.published:,} | {account.failed:,} | {account.found:,} | {account.slowest_s:.1f} s"
    return f"| `{name}` | {counts} |\n"
