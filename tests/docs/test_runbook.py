"""Each event that can be logged has a row of the runbook, with its level and what to do about it."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from blocks import ROOT, table

import kafka_email
from kafka_email import _core

OPERATIONS = ROOT / "docs" / "operations.md"
PACKAGE = Path(kafka_email.__file__).parent
WORKER = PACKAGE / "worker"
SHARED = PACKAGE / "_token.py"
"""Logs for whoever needs a token: the manager or a worker."""
NOTHING = "\u2013"
ALARMING = {"WARNING", "ERROR"}

Levels = dict[str, set[str]]
"""Names of events, each with the levels that the source tells; they may be computed elsewhere."""


def merged(found: Iterator[tuple[str, str | None]]) -> Levels:
    levels: Levels = {}
    for name, level in found:
        levels.setdefault(name, set()).update(() if level is None else (level,))
    return levels


def logged_by(source: Path) -> Iterator[tuple[str, str | None]]:
    """The events of a Python file: as the argument of `_extra`, and as the one that follows a level."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Name("_extra"), args=[ast.Constant(str(name))]):
                yield name, None
            case ast.Call(args=[ast.Attribute(ast.Name("logging"), level), ast.Constant(str(name)), *_]):
                yield name, level
            case ast.Call(args=[ast.Name("level"), ast.Constant(str(name)), *_]):
                yield name, None


def logged_by_the_native_worker() -> Iterator[tuple[str, str | None]]:
    """The events of `src/worker`, and those of the outages that it shares with the producer."""
    line = re.compile(r'(?:Line::|partitions_line\(\s*Line::)(debug|info|warning|error)[(,]\s*"([a-z_]+)"')
    for file in ROOT.glob("src/worker/**/*.rs"):
        yield from ((name, level.upper()) for level, name in line.findall(file.read_text()))
    outage = ROOT.joinpath("src/kafka/outage.rs").read_text()
    for level, event in re.findall(r"LogLine::new\(Level::(\w+), LogEvent::(\w+)", outage):
        yield re.sub(r"(?<!^)(?=[A-Z])", "_", event).lower(), level.upper()


def events_of_the_publisher() -> Levels:
    sources = [source for source in PACKAGE.rglob("*.py") if not source.is_relative_to(WORKER)]
    return {name: set[str]() for name in _core.LOG_EVENTS} | merged(one for file in sources for one in logged_by(file))


def events_of_the_worker() -> Levels:
    in_python = (one for file in [*WORKER.rglob("*.py"), SHARED] for one in logged_by(file))
    return merged(logged_by_the_native_worker()) | merged(in_python)


@pytest.mark.parametrize(
    ("heading", "logged", "column"),
    [("Log lines", events_of_the_publisher(), 2), ("Log lines of the worker", events_of_the_worker(), 1)],
)
def test_each_event_has_a_row_and_each_row_an_event(heading: str, logged: Mapping[str, set[str]], column: int) -> None:
    rows = {row[0].strip("`"): row for row in table(OPERATIONS, heading)}
    assert len(table(OPERATIONS, heading)) == len(rows)
    assert rows.keys() == logged.keys()
    for name, row in rows.items():
        levels = set(row[column].split(", "))
        assert logged[name] <= levels, name
        meaning, look_at, to_do = row[column + 1 :]
        assert len(meaning) > 10, name
        assert not levels & ALARMING or NOTHING not in {look_at, to_do}, f"{name}: what to look at, what to do?"


def test_the_worker_logs_more_than_its_specification_names() -> None:
    """Where a reader of the source finds fewer, it is the reader that is broken."""
    assert events_of_the_worker().keys() >= {
        *("worker_started", "worker_stopped", "partitions_assigned", "partitions_released", "partitions_lost"),
        *("smtp_unavailable", "smtp_recovered", "refusals_high", "dead_lettered", "handler_failed", "commit_failed"),
        *("stuck", "drain_incomplete", "delivered", "retry", "token_failed", "kafka_recovered"),
    }
