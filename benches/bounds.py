"""The ratios that must hold, from bounds.json, and whether they do."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from benches.summary import Results, Spread

FILE = Path(__file__).with_name("bounds.json")


@dataclass(frozen=True)
class Bound:
    """A measure, divided by a number or by the best of some other measures, has to be at least or at most a limit.

    With `at_most_above` it is not divided: it may be that much more than the other, in its unit.

    A measure is the name of a case and of a field: `throughput/ours/defaults/1000 per_second`.
    """

    name: str
    measure: str
    against: tuple[str | float, ...] = (1,)
    at_least: float | None = None
    at_most: float | None = None
    at_most_above: float | None = None

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> "Bound":
        """From an entry of bounds.json; `against` is 1 when left out."""
        against = entry.get("against", 1)
        return cls(**entry | {"against": tuple(against) if isinstance(against, list) else (against,)})

    @property
    def wish(self) -> str:
        """The limit in words."""
        if self.at_most_above is not None:
            return f"at most + {self.at_most_above:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"

    def compared(self, mine: float, other: float) -> float:
        """The ratio of two numbers, or their difference."""
        if self.at_most_above is not None:
            return mine - other
        return mine / other if other else float("inf")


@dataclass(frozen=True)
class Verdict:
    """What became of a bound; no ratio if something was not measured."""

    bound: Bound
    ratio: Spread | None

    @property
    def word(self) -> str:
        """`met`, `missed` or `not measured`, judged by the median."""
        if self.ratio is None:
            return "not measured"
        least = self.bound.at_least
        most = self.bound.at_most if self.bound.at_most_above is None else self.bound.at_most_above
        holds = (least is None or self.ratio.median >= least) and (most is None or self.ratio.median <= most)
        return "met" if holds else "missed"

    def __str__(self) -> str:
        found = "{} ({} to {}), ".format(*map(_short, self.ratio)) if self.ratio else ""
        return f"{self.word:6}  {self.bound.name}: {found}{self.bound.wish}"


def verdicts(results: Results) -> list[Verdict]:
    """All bounds of bounds.json."""
    return [judged(Bound.parse(entry), results) for entry in json.loads(FILE.read_text())]


def lines(results: Results) -> list[str]:
    """One line for each bound; those that this run did not measure in one line together."""
    all_verdicts = verdicts(results)
    measured = [str(verdict) for verdict in all_verdicts if verdict.ratio]
    rest = len(all_verdicts) - len(measured)
    return [*measured, *([f"{rest} bounds not measured in this run"] if rest else [])]


def judged(bound: Bound, results: Results) -> Verdict:
    """One bound; its spread comes from the rounds, each compared with the rival's same round."""
    found = (_middle_and_rounds(measure, results) for measure in (bound.measure, *bound.against))
    measured = [each for each in found if each]
    if len(measured) <= len(bound.against):
        return Verdict(bound, None)
    (middle, rounds), *rivals = measured
    choose = max if bound.at_least is not None else min
    rival_middle, rival_rounds = choose(rivals, key=lambda rival: rival[0])
    ratios = [bound.compared(*pair) for pair in zip(rounds, rival_rounds, strict=False)]
    return Verdict(bound, Spread(bound.compared(middle, rival_middle), min(ratios), max(ratios)))


def _middle_and_rounds(measure: str | float, results: Results) -> tuple[float, Iterable[float]] | None:
    """The median of a measure and the values of its rounds; a number is the same in every round."""
    if not isinstance(measure, str):
        return measure, repeat(measure)
    name, _, field = measure.rpartition(" ")
    spread = results.spread(name, field)
    return spread and (spread.median, results.values(name, field))


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"
