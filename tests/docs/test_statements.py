"""Tables and names in the documents equal the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import DOCUMENTS, ROOT, table

import kafka_email
from kafka_email import KafkaConfig, _core, exceptions

README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"


def plain(cell: str) -> str:
    return cell.strip("`")


def test_the_configuration_table_equals_the_fields() -> None:
    rows = {plain(name): ast.literal_eval(plain(default)) for name, default, _ in table(README, "Configuration")}
    fields = KafkaConfig.model_fields.items()
    assert list(rows.items()) == [(name, field.get_default(call_default_factory=True)) for name, field in fields]


def test_the_errors_table_equals_the_exceptions() -> None:
    rows = {plain(name): plain(base) for name, base, _ in table(README, "Errors")}
    assert sorted(rows) == sorted(exceptions.__all__)
    for name, base in rows.items():
        builtins = [
            parent.__name__ for parent in getattr(exceptions, name).__bases__ if parent.__module__ == "builtins"
        ]
        assert builtins == ([base] if base else [])


def test_the_errors_of_operations_exist() -> None:
    assert {plain(row[0]) for row in table(OPERATIONS, "Errors")} <= set(exceptions.__all__)


def test_the_log_table_equals_the_events_that_are_logged() -> None:
    rows = [plain(row[0]) for row in table(OPERATIONS, "Log lines")]
    in_python = [name for source in Path(kafka_email.__file__).parent.rglob("*.py") for name in logged_by(source)]
    assert sorted(rows) == sorted({*_core.LOG_EVENTS, *in_python})
    assert len(set(_core.LOG_EVENTS)) == len(_core.LOG_EVENTS)


def logged_by(source: Path) -> Iterator[str]:
    """The names of events in a Python file: as the argument of `_extra`, and as the one that follows a level."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Name("_extra"), args=[ast.Constant(str(name))]):
                yield name
            case ast.Call(
                args=[ast.Attribute(value=ast.Name("logging")) | ast.Name("level"), ast.Constant(str(name)), *_]
            ):
                yield name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    for path in re.findall(r"`((?:src|python|tests|docs|examples)/[\w./-]+)`", text):
        assert ROOT.joinpath(path).exists(), path
    for path in re.findall(r"\]\((?!https:)([^)#]+)", text):
        assert document.parent.joinpath(path).exists(), path


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/decisions/*.md")), ids=lambda page: page.stem)
def test_decisions_are_dated(page: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", page.read_text().splitlines()[2])
