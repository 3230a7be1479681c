"""Tables and names in the documents equal the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import DOCUMENTS, ROOT, table
from pydantic_core import PydanticUndefined

import kafka_email
from kafka_email import KafkaConfig, _core, exceptions
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


def test_the_log_table_equals_the_events_that_are_logged() -> None:
    rows = [plain(row[0]) for row in table(OPERATIONS, "Log lines")]
    package = Path(kafka_email.__file__).parent
    sources = [source for source in package.rglob("*.py") if not source.is_relative_to(package / "worker")]
    in_python = [name for source in sources for name in logged_by(source)]
    assert sorted(rows) == sorted({*_core.LOG_EVENTS, *in_python})
    assert len(set(_core.LOG_EVENTS)) == len(_core.LOG_EVENTS)


def test_the_log_table_of_the_worker_equals_the_events_that_are_logged() -> None:
    rows = [plain(row[0]) for row in table(OPERATIONS, "Log lines of the worker")]
    line = re.compile(r"""(?:Line::(?:debug|info|warning|error)\(|partitions_line\([\w:]+,)\s*"([a-z_]+)\"""")
    native = {name for file in ROOT.glob("src/worker/**/*.rs") for name in line.findall(file.read_text())}
    sources = Path(kafka_email.__file__).parent.joinpath("worker").rglob("*.py")
    assert sorted(rows) == sorted(native | {name for source in sources for name in logged_by(source)})


def test_the_metrics_table_of_the_worker_equals_the_metrics() -> None:
    rows = {plain(name): kind for name, kind, _ in table(OPERATIONS, "Metrics of the worker")}
    families = KafkaEmailWorkerCollector(Worker()).collect()
    names = {f"{each.name}_total" if each.type == "counter" else each.name: each.type for each in families}
    assert rows == names


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
