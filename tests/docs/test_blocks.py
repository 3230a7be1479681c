"""Every code block of the documents does what it says.

Python blocks of one document run in order in one namespace, against an embedded broker that the default configuration
points to: those with a top-level await on an event loop, the others in a thread without one. Blocks that define tests
are run by pytest instead, and those that set up Django run in a process of their own.
"""

import ast
import asyncio
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from blocks import DOCUMENTS, ROOT, Block, blocks
from fastapi.routing import APIRoute

from kafka_email import EmailEventPayload, KafkaConfig
from kafka_email.testing import EmbeddedBroker

TESTED = {"python", "bash", "json", "dotenv", "yaml"}
DJANGO = ROOT / "docs" / "django.md"
WITH_PYTHON = [document for document in DOCUMENTS if document != DJANGO and blocks(document, "python")]
TESTS = [block for document in DOCUMENTS for block in blocks(document, "python") if "def test_" in block.code]


def of_language(language: str) -> list[Any]:
    found = [block for document in DOCUMENTS for block in blocks(document, language)]
    assert found
    return [pytest.param(block, id=name_of(block)) for block in found]


def name_of(block: Block) -> str:
    return f"{block.document.name}:{block.line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_block_is_tested(document: Path) -> None:
    drawings = {"text", "mermaid"} if document.name == "ARCHITECTURE.md" else set()
    languages = {block.language for block in blocks(document)}
    assert languages <= TESTED | drawings


@pytest.mark.usefixtures("_application", "_files", "default_broker")
@pytest.mark.parametrize("document", WITH_PYTHON, ids=lambda document: document.name)
def test_python_blocks_run(document: Path) -> None:
    async def run() -> None:
        namespace: dict[str, Any] = {"__name__": document.stem}
        for block in blocks(document, "python"):
            if block not in TESTS:
                result = await asyncio.to_thread(eval, compiled(block), namespace)
                if inspect.isawaitable(result):
                    await result

    asyncio.run(run())


def test_python_blocks_of_django_run() -> None:
    code = "\n".join(block.code for block in blocks(DJANGO, "python"))
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def compiled(block: Block) -> CodeType:
    padded = "\n" * (block.line - 1) + block.code  # errors show the document's own line numbers
    return compile(padded, str(block.document), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [pytest.param(block, id=name_of(block)) for block in TESTS])
def test_tests_in_blocks_pass(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "test_block.py"
    file.write_text(block.code)
    options = ["-q", "-c", "/dev/null", "--rootdir", str(tmp_path), "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{block.code.count('def test_')} passed" in done.stdout


@pytest.mark.parametrize("block", of_language("bash"))
def test_commands_exist(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    for command in block.code.splitlines():
        if command != "pip install target/wheels/*.whl":
            make, target = command.split()
            assert make == "make"
            assert target in targets


@pytest.mark.parametrize("block", of_language("dotenv"))
def test_environments_are_valid(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(line.split("=", 1) for line in block.code.splitlines())
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert KafkaConfig().model_fields_set >= {name.removeprefix("KAFKA_").lower() for name in given}


@pytest.mark.parametrize("block", of_language("json"))
def test_events_have_the_form_of_events(block: Block) -> None:
    event = EmailEventPayload.model_validate_json(block.code)
    assert block.code == json.dumps(event.model_dump(mode="json")) + "\n"


async def test_the_event_of_the_readme_is_what_its_block_publishes() -> None:
    shown = json.loads(blocks(ROOT / "README.md", "json")[0].code)
    first = blocks(ROOT / "README.md", "python")[0]
    with EmbeddedBroker() as broker:
        code = f"from kafka_email import kafka_config\nkafka_config.bootstrap_servers = {broker.bootstrap_servers!r}\n"
        script = code + "import asyncio\nasync def main():\n" + re.sub(r"^", "    ", first.code, flags=re.MULTILINE)
        command = [sys.executable, "-c", script + "\nasyncio.run(main())"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=50, capture_output=True)
        (record,) = broker.records("email-events")
    assert record.value | {"timestamp": ""} == shown | {"timestamp": ""}
    assert record.key == shown["recipient"]
    assert set(record.headers) == {"ce_id", "ce_type", "ce_source", "ce_specversion", "content-type"}


@pytest.mark.parametrize("block", of_language("yaml"))
def test_probes_name_routes_that_exist(block: Block) -> None:
    from kafka_email.fastapi import health_router

    paths = set(re.findall(r"path: (\S+),", block.code))
    assert paths
    assert paths == {route.path for route in health_router.routes if isinstance(route, APIRoute)}
