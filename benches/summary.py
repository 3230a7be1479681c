"""Medians and spreads of what was measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PERCENTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


class Spread(NamedTuple):
    """A median, and the smallest and the largest value."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Results:
    """The contents of a results file, which `__main__.py` wrote."""

    machine: dict[str, str]
    versions: dict[str, str]
    is_quick: bool
    rounds: int
    runs: dict[str, list[dict[str, Any]]]
    """By the names of the cases, `table/client/variant/point`, in the order of the plan."""

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results in a file."""
        return cls(**json.loads(path.read_text()))

    def values(self, name: str, field: str) -> list[float]:
        """What each round measured; empty if it was not measured, or failed in every round."""
        found = []
        for run in self.runs.get(name, ()):
            samples = sorted(run.get("latencies_ms", ())) if field in PERCENTILES else []
            found.append(percentile(samples, PERCENTILES[field]) if samples else run.get(field))
        return [value for value in found if value is not None]

    def spread(self, name: str, field: str) -> Spread | None:
        """Median and spread over the rounds; a percentile is that of the samples of all rounds."""
        values = self.values(name, field)
        samples = self.samples(name) if field in PERCENTILES else []
        if not values:
            return None
        return Spread(percentile(samples, PERCENTILES[field]) if samples else median(values), min(values), max(values))

    def samples(self, name: str) -> list[float]:
        """The latencies of all rounds in milliseconds, sorted."""
        return sorted(sample for run in self.runs.get(name, ()) for sample in run.get("latencies_ms", ()))

    def trouble(self, name: str) -> str | None:
        """What went wrong in a case, in a few words."""
        runs = self.runs.get(name, ())
        for run in runs:
            if "failed" in run:
                return f"failed: {run['failed']}"
        if failures := sum(run.get("failures", 0) for run in runs):
            reason = next((run["first_error"] for run in runs if run.get("first_error")), "no reason given")
            return f"{failures} publishes failed: {reason}"
        for run in runs:
            if "successes" in run and run["stored"] != run["successes"]:
                return f"the broker has {run['stored']} records of {run['successes']} acknowledged"
        return None


def percentile(ordered: list[float], share: float) -> float:
    """The value that a share of all values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
