"""Runs the benchmark: `python -m benches --help`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benches import bounds, environment, plan, report, rounds
from benches.environment import HOME, machine
from benches.services import Services, check_tools
from benches.summary import Results
from support.kafka.jars import kafka_version
from support.missing import MissingError


def main() -> int:
    """Measures, unless there is a file of results already, and reports; the exit status."""
    options = _options()
    try:
        file = options.report or _measured(options)
    except MissingError as missing:
        print(f"missing for the benchmark: {missing}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"the benchmark cannot run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; everything that was started is ended", file=sys.stderr)
        return 130
    return _reported(file, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches", description="kafka-email beside other clients.")
    parser.add_argument(
        "--quick", action="store_true", help="some cases, shorter and in fewer rounds; writes no report"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TABLE", help="only these tables: throughput, latency ..."
    )
    parser.add_argument("--rounds", type=int, help="how often each case is measured")
    parser.add_argument("--results", type=Path, default=HOME / "results.json", help="where to put what was measured")
    parser.add_argument("--report", type=Path, metavar="FILE", help="measure nothing, report these results again")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md also after a quick run")
    parser.add_argument("--python", type=Path, help="interpreter with all clients, instead of an environment made anew")
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> Path:
    """The file with the results."""
    check_tools()
    chosen = (plan.quick if options.quick else plan.full)(options.rounds).only(options.only)
    if not chosen.cases:
        tables = sorted({case.table for case in plan.full(None).cases})
        raise RuntimeError(f"no such table; there are {', '.join(tables)}")
    content: dict[str, Any] = {"machine": machine()}
    content |= {"is_quick": chosen.is_quick, "rounds": chosen.rounds}
    programs = environment.programs(options.python)
    content["versions"] = environment.versions(programs, kafka_version())
    with Services(programs.python) as services:
        rounds.warm_up(programs, services)
        content["runs"] = rounds.measure(chosen, programs, services)
    file: Path = options.results
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def _reported(file: Path, options: argparse.Namespace) -> int:
    """0, or 1 if kafka-email or librdkafka failed to run; that a rival fails is a result like any other."""
    results = Results.read(file)
    extent = "quick run: fewer cases, fewer and shorter rounds" if results.is_quick else "full run"
    print(f"{extent}; rounds: {results.rounds}", *report.tables(results), sep="\n")
    if options.write or not (results.is_quick or options.only):
        report.write(results)
        environment.plots(options.python, file)
    print("\nBounds\n", *bounds.lines(results), sep="\n")
    failed = [name for name in results.runs if (results.trouble(name) or "").startswith("failed")]
    for name in failed:
        print(f"{name} {results.trouble(name)}", file=sys.stderr)
    return 1 if any(name.split("/")[1] in ("ours", "librdkafka") for name in failed) else 0


if __name__ == "__main__":
    sys.exit(main())
