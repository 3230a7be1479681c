"""The ratios that must hold, from bounds.json, and whether they do."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.summary import Results, Spread

FILE = Path(__file__).with_name("bounds.json")


@dataclass(frozen=True)
class Bound:
    """A measure, divided by a number or by the best of some other measures, has to be at least or at most `limit`.

    A measure is the name of a case and of a field: `throughput/ours/defaults/1000 per_second`.
    """

    name: str
    measure: str
    against: tuple[str | float, ...]
    at_least: float | None
    at_most: float | None

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> "Bound":
        """From an entry of bounds.json; `against` is 1 when left out."""
        against = entry.get("against", 1)
        against = tuple(against) if isinstance(against, list) else (against,)
        return cls(entry["name"], entry["measure"], against, entry.get("at_least"), entry.get("at_most"))

    @property
    def wish(self) -> str:
        """The limit in words."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


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
        least, most = self.bound.at_least, self.bound.at_most
        holds = (least is None or self.ratio.median >= least) and (most is None or self.ratio.median <= most)
        return "met" if holds else "missed"

    def __str__(self) -> str:
        found = (
            ""
            if self.ratio is None
            else f"{_short(self.ratio.median)} ({_short(self.ratio.low)} to {_short(self.ratio.high)}), "
        )
        return f"{self.word:6}  {self.bound.name}: {found}{self.bound.wish}"


def verdicts(results: Results) -> list[Verdict]:
    """All bounds of bounds.json."""
    return [judged(Bound.parse(entry), results) for entry in json.loads(FILE.read_text())]


def lines(results: Results) -> list[str]:
    """One line for each bound; those that this run did not measure in one line together."""
    all_verdicts = verdicts(results)
    told = [verdict for verdict in all_verdicts if verdict.ratio is not None]
    rest = len(all_verdicts) - len(told)
    return [*map(str, told), *([f"{rest} bounds not measured in this run"] if rest else [])]


def judged(bound: Bound, results: Results) -> Verdict:
    """One bound; its spread comes from the rounds, each compared with the rival's same round."""
    ours = _Measured(bound.measure, results)
    rivals = [_Measured(other, results) for other in bound.against]
    if not ours.values or not all(rival.values for rival in rivals):
        return Verdict(bound, None)
    choose = max if bound.at_least is not None else min
    rival = choose(rivals, key=lambda measured: measured.middle)
    pairs = zip(ours.values, rival.values * (len(ours.values) if rival.is_number else 1), strict=False)
    ratios = [_ratio(mine, other) for mine, other in pairs]
    return Verdict(bound, Spread(_ratio(ours.middle, rival.middle), min(ratios), max(ratios)))


class _Measured:
    def __init__(self, measure: str | float, results: Results) -> None:
        self.is_number = not isinstance(measure, str)
        if isinstance(measure, str):
            name, _, field = measure.rpartition(" ")
            spread = results.spread(name, field)
            self.values = results.values(name, field)
            self.middle = spread.median if spread else 0.0
        else:
            self.values, self.middle = [float(measure)], float(measure)


def _ratio(mine: float, other: float) -> float:
    return mine / other if other else float("inf")


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"
