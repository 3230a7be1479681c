"""The plots of the report as SVG. Usage: python -m benches.plots RESULTS DIRECTORY (it needs matplotlib)."""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from benches.settings import CLIENTS, title
from benches.summary import Results, Spread

mpl.use("svg")
# The same results make the same bytes.
mpl.rcParams.update(
    {"svg.hashsalt": "kafka-email", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)
SIZE = (8, 4.5)
AT_ONCE = (1, 10, 100, 1000, 10_000)


def main() -> None:
    results, directory = Results.read(Path(sys.argv[1])), Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    for name, draw in {"throughput": throughput, "latency": latency, "cpu": cpu, "endpoint": endpoint}.items():
        figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
        draw(results, axes)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def throughput(results: Results, axes: plt.Axes) -> None:
    """Publishes a second over how many at once, dotted for the defaults."""
    for number, client in enumerate(CLIENTS.values()):
        for variant, style in (("best", "-"), ("defaults", ":")):
            points = [(n, results.spread(f"throughput/{client.module}/{variant}/{n}", "per_second")) for n in AT_ONCE]
            measured = [(n, spread.median) for n, spread in points if spread]
            label = client.title if style == "-" else None
            if measured:
                axes.plot(*zip(*measured, strict=True), style, color=f"C{number}", marker=".", label=label)
    axes.set(xscale="log", yscale="log", xlabel="publishes awaited at once", ylabel="publishes/s (dotted: defaults)")
    axes.legend(fontsize=7)


def latency(results: Results, axes: plt.Axes) -> None:
    """The share of publishes that took longer, at 1000 a second."""
    for name in results.runs:
        table, client, variant, point = name.split("/")
        samples = results.samples(name)
        if table == "latency" and point == "1000" and samples:
            step = max(1, len(samples) // 500)
            shown = [(value, 1 - place / len(samples)) for place, value in enumerate(samples)][::step]
            axes.plot(*zip(*shown, strict=True), label=f"{CLIENTS[client].title}, {variant}")
    axes.set(xscale="log", yscale="log", xlabel="ms from call to result, at 1000/s", ylabel="share that took longer")
    axes.legend(fontsize=7)


def cpu(results: Results, axes: plt.Axes) -> None:
    """CPU seconds of the client per 100,000 publishes, 1000 at once, best settings."""
    _bars(axes, {c.title: results.spread(f"throughput/{c.module}/best/1000", "cpu_per_100k") for c in CLIENTS.values()})
    axes.set(xscale="log", xlabel="CPU seconds per 100,000 publishes, 1000 at once, best settings")


def endpoint(results: Results, axes: plt.Axes) -> None:
    """Requests a second of the endpoint, by what it publishes with."""
    names = [name for name in results.runs if name.startswith("endpoint/")]
    _bars(axes, {title(name.split("/")[1]): results.spread(name, "requests_per_second") for name in names})
    axes.set(xlabel="requests/s of a FastAPI endpoint, 64 connections")


def _bars(axes: plt.Axes, spreads: dict[str, Spread | None]) -> None:
    measured = {label: spread for label, spread in spreads.items() if spread}
    middles = [spread.median for spread in measured.values()]
    errors = [[s.median - s.low for s in measured.values()], [s.high - s.median for s in measured.values()]]
    axes.barh(list(measured), middles, xerr=errors, color=[f"C{number}" for number in range(len(measured))])
    axes.invert_yaxis()


if __name__ == "__main__":
    main()
