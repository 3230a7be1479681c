"""Tables and names in the documents equal the code."""

import ast
import re
from pathlib import Path

import pytest
from blocks import DOCUMENTS, ROOT, table
from pydantic_core import PydanticUndefined

from kafka_email import KafkaConfig, exceptions
from kafka_email.celery import options
from kafka_email.config import SmtpConfig, WorkerConfig, foreign
from kafka_email.config.base import GuardedSettings
from kafka_email.metrics import KafkaEmailWorkerCollector
from kafka_email.worker import Worker

README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
OPERATIONS = ROOT / "docs" / "operations.md"


def plain(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize(
    ("document", "heading", "config"),
    [
        (README, "Configuration", KafkaConfig),
        (CONFIGURATION, "SmtpConfig", SmtpConfig),
        (CONFIGURATION, "WorkerConfig", WorkerConfig),
    ],
)
def test_the_configuration_tables_equal_the_fields(document: Path, heading: str, config: type[GuardedSettings]) -> None:
    rows = [(plain(name), default) for name, default, _ in table(document, heading)]
    fields = config.model_fields.items()
    assert [(name, default_of(cell)) for name, cell in rows] == [
        (name, field.get_default(call_default_factory=True)) for name, field in fields
    ]


def default_of(cell: str) -> object:
    return PydanticUndefined if cell == "required" else ast.literal_eval(plain(cell))


def test_the_variables_of_other_programs_are_those_that_are_read() -> None:
    read = re.findall(r'"([A-Z]+_[A-Z_]+)"', Path(foreign.__file__).read_text())
    rows = table(CONFIGURATION, "Variables of other programs")
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[0])} == set(read)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])}
    assert named <= SmtpConfig.model_fields.keys() | WorkerConfig.model_fields.keys()


def test_the_options_of_a_task_are_those_that_are_known() -> None:
    rows = table(ROOT / "docs" / "celery.md", "Options of apply_async")
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(options.KNOWN | {"args", "kwargs"})


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


def test_the_metrics_table_of_the_worker_equals_the_metrics() -> None:
    rows = {plain(name): kind for name, kind, _ in table(OPERATIONS, "Metrics of the worker")}
    families = KafkaEmailWorkerCollector(Worker()).collect()
    names = {f"{each.name}_total" if each.type == "counter" else each.name: each.type for each in families}
    assert rows == names


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
