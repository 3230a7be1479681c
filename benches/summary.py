"""Medians and spreads of what was measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PERCENTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


@dataclass(frozen=True)
class Spread:
    """A median, and the smallest and the largest value."""

    median: float
    low: float
    high: float


class Results:
    """The contents of a results file."""

    def __init__(self, content: dict[str, Any]) -> None:
        """Takes what `__main__.py` wrote."""
        self.machine: dict[str, str] = content["machine"]
        self.versions: dict[str, str] = content["versions"]
        self.is_quick: bool = content["is_quick"]
        self.rounds: int = content["rounds"]
        self._runs: dict[str, list[dict[str, Any]]] = content["runs"]

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results in a file."""
        return cls(json.loads(path.read_text()))

    @property
    def names(self) -> list[str]:
        """Names of the cases, `table/client/variant/point`, in the order of the plan."""
        return list(self._runs)

    def values(self, name: str, field: str) -> list[float]:
        """What each round measured; empty if it was not measured, or failed in every round."""
        runs = [_with_percentiles(run) for run in self._runs.get(name, [])]
        return [run[field] for run in runs if run.get(field) is not None]

    def spread(self, name: str, field: str) -> Spread | None:
        """Median and spread over the rounds; a percentile is that of the samples of all rounds."""
        values = self.values(name, field)
        if not values:
            return None
        samples = self.samples(name)
        middle = percentile(samples, PERCENTILES[field]) if samples and field in PERCENTILES else median(values)
        return Spread(middle, min(values), max(values))

    def samples(self, name: str) -> list[float]:
        """The latencies of all rounds in milliseconds, sorted."""
        return sorted(sample for run in self._runs.get(name, []) for sample in run.get("latencies_ms", ()))

    def trouble(self, name: str) -> str | None:
        """What went wrong in a case, in a few words."""
        runs = self._runs.get(name, [])
        failed = next((run["failed"] for run in runs if "failed" in run), None)
        if failed:
            return f"failed: {failed}"
        failures = sum(run.get("failures", 0) for run in runs)
        if failures:
            reason = next((run["first_error"] for run in runs if run.get("first_error")), "no reason given")
            return f"{failures} publishes failed: {reason}"
        lost = [run for run in runs if "successes" in run and run["stored"] != run["successes"]]
        if lost:
            return f"the broker has {lost[0]['stored']} records of {lost[0]['successes']} acknowledged"
        return None


def percentile(ordered: list[float], share: float) -> float:
    """The value that a share of all values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _with_percentiles(run: dict[str, Any]) -> dict[str, Any]:
    samples = sorted(run.get("latencies_ms", ()))
    return run | {name: percentile(samples, share) for name, share in PERCENTILES.items()} if samples else run
