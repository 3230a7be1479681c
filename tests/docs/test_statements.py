"""Tables and names in the documents equal the code."""

import ast
import re
from pathlib import Path

import pytest
from blocks import DOCUMENTS, ROOT, table

from kafka_email import KafkaConfig, exceptions

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
    sources = [*ROOT.glob("src/**/*.rs"), *ROOT.glob("python/**/*.py")]
    text = "\n".join(source.read_text() for source in sources)
    in_rust = re.findall(r'event: "(\w+)"', text) + re.findall(r'Level::\w+,\s+"(\w+)",', text)
    in_python = re.findall(r'"event": "(\w+)"', text) + re.findall(r'say\(\s*[\w.]+, "(\w+)"', text)
    assert {plain(row[0]) for row in table(OPERATIONS, "Log lines")} == {*in_rust, *in_python}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    for path in re.findall(r"`((?:src|python|tests|docs|examples)/[\w./-]+)`", text):
        assert ROOT.joinpath(path).exists(), path
    for path in re.findall(r"\]\((?!https:)([^)#]+)", text):
        assert document.parent.joinpath(path).exists(), path


def test_the_architecture_names_every_file() -> None:
    text = ROOT.joinpath("ARCHITECTURE.md").read_text()
    sources = [*ROOT.glob("src/*/*.rs"), *ROOT.glob("python/kafka_email/**/*.py")]
    ours = [source for source in sources if source.name not in {"mod.rs", "__init__.py"}]
    named = [source for source in ours if f"{source.relative_to(ROOT)}`" in text or f"`{source.name}`" in text]
    assert [source.name for source in ours if source not in named] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/decisions/*.md")), ids=lambda page: page.stem)
def test_decisions_are_dated(page: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", page.read_text().splitlines()[2])
