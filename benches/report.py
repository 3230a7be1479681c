"""The tables as Markdown, and docs/performance.md, of which the part between two markers is made here."""

from pathlib import Path

from benches import bounds
from benches.settings import title
from benches.summary import Results, Spread

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
METHOD = Path(__file__).with_name("method.md")
BEGIN, END = "<!-- made by `make bench`: begin -->", "<!-- made by `make bench`: end -->"

PLOTS = {
    "throughput": "Publishes a second over how many are awaited at once",
    "latency": "Distribution of the latency at 1000 publishes a second",
    "cpu": "CPU seconds of each client per 100,000 publishes",
    "endpoint": "Requests a second of a FastAPI endpoint by what it publishes with",
}
FIELDS = {
    "per_second": "publishes/s",
    "requests_per_second": "requests/s",
    "cpu_per_100k": "CPU seconds of the client per 100,000 publishes",
    "p50_ms": "p50 in ms",
    "p99_ms": "p99 in ms",
    "p999_ms": "p99.9 in ms",
    "late_p99_ms": "late, p99 in ms",
    "late_max_ms": "late, at most, in ms",
    "rss_first_mb": "MB after the first tenth",
    "rss_last_mb": "MB at the end",
    "peak_rss_mb": "peak memory in MB",
    "failures": "failures",
    "import_ms": "ms",
}
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "throughput": ("Publishes awaited by so many coroutines at once", ("per_second", "cpu_per_100k", "peak_rss_mb")),
    "publish_many": ("`publish_many`, batches x events at once", ("per_second", "cpu_per_100k")),
    "latency": ("Latency of one publish, at so many a second", ("p50_ms", "p99_ms", "p999_ms")),
    "blocking": ("Callers without an event loop", ("per_second", "cpu_per_100k", "p50_ms", "p99_ms")),
    "endpoint": ("A FastAPI endpoint, called from 64 connections", ("requests_per_second", "p50_ms", "p99_ms")),
    "fairness": (
        "Another coroutine that sleeps 1 ms, with so many publishes under way",
        ("late_p99_ms", "late_max_ms"),
    ),
    "outstanding": ("So many publishes started at once", ("peak_rss_mb", "failures", "per_second")),
    "memory": ("Memory over so many publishes", ("rss_first_mb", "rss_last_mb", "per_second")),
    "imports": ("Import time", ("import_ms",)),
    "uvloop": ("On uvloop, so many at once", ("per_second", "cpu_per_100k")),
    "codecs": ("Codecs, so many at once", ("per_second", "cpu_per_100k")),
    "in_flight": ("Requests in flight, so many publishes at once", ("per_second",)),
    **{
        f"batching_{distance}ms": (f"Batching with a broker {distance} ms away, so many at once", ("per_second",))
        for distance in (0, 1, 2, 20)
    },
}


def write(results: Results) -> None:
    """Puts the tables into docs/performance.md; what stands outside the markers stays."""
    old = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(before + "\n".join([BEGIN, "", *_made(results), "", END]) + rest.partition(END)[2])


def tables(results: Results) -> list[str]:
    """A table for each field of each measure, as lines."""
    lines = []
    for measure, (headline, fields) in TABLES.items():
        names = [name for name in results.runs if name.startswith(f"{measure}/")]
        if names:
            lines += ["", f"### {headline}", ""]
            for field in fields:
                if table := _table(results, names, field):
                    lines += [*table, ""]
            lines += [f"- {name}: {trouble}" for name in names if (trouble := results.trouble(name))]
    return lines


def _made(results: Results) -> list[str]:
    extent = "a quick run, of fewer cases and rounds" if results.is_quick else "a full run"
    facts = {"run": f"{extent}; {results.rounds} rounds", **results.machine, **results.versions}
    return [
        "## Machine and versions",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        METHOD.read_text().rstrip(),
        "",
        "## Bounds",
        "",
        "| bound | ratio (spread) | to reach | |",
        "|---|---|---|---|",
        *(_row(each.bound.name, _cell(each.ratio), each.bound.wish, each.word) for each in bounds.verdicts(results)),
        "",
        "## Measured",
        "",
        *(f"![{text}](images/{name}.svg)" for name, text in PLOTS.items()),
        *tables(results),
    ]


def _table(results: Results, names: list[str], field: str) -> list[str]:
    """Clients and settings down, points across: numbers by size, words as they come.

    What does not have the field is left out: a case may have a rate or a latency.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        _, client, variant, point = name.split("/")
        spread = results.spread(name, field)
        if spread or (results.trouble(name) or "").startswith("failed"):
            rows.setdefault((client, variant), {})[point] = _cell(spread) if spread else "failed"
    if not rows:
        return []
    points = sorted(
        dict.fromkeys(point for cells in rows.values() for point in cells),
        key=lambda point: int(point) if point.isdecimal() else 0,
    )
    return [
        _row(FIELDS[field], "settings", *points),
        "|---|---|" + "---:|" * len(points),
        *(_row(title(row[0]), row[1], *(cells.get(point, "") for point in points)) for row, cells in rows.items()),
    ]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    middle, low, high = map(_number, spread)
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
