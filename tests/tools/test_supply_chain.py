"""What the workflows fetch is what somebody looked at: actions by commit, tools by hash, the wheel by its file."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_actions_are_named_by_commit(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_pip_installs_by_hash_or_the_file_that_was_built(workflow: Path) -> None:
    for step in steps(workflow):
        for line in step.get("run", "").splitlines():
            if "pip install" in line:
                arguments = shlex.split(line.partition("pip install")[2])
                is_hashed = arguments[:2] == ["--require-hashes", "-r"] and len(arguments) == 3
                assert is_hashed or arguments == ["dist/*.whl"], line


@pytest.mark.parametrize("tool", ["maturin", "ziglang", "wheel", "auditwheel", "cyclonedx-python-lib"])
def test_tools_of_the_wheel_have_one_version_and_hashes(tool: str) -> None:
    listed = (ROOT / "scripts/distribution/requirements.txt").read_text()
    found = re.findall(rf"^{tool}(?:\[[\w-]+\])?==([\w.]+) .*\n    --hash=sha256:[0-9a-f]{{64}}", listed, re.MULTILINE)
    wished = (ROOT / "scripts/distribution/requirements.in").read_text()
    assert found == re.findall(rf"^{tool}(?:\[[\w-]+\])?==([\w.]+)$", wished, re.MULTILINE)
    assert len(found) == 1


def test_crates_come_from_the_registry_with_a_checksum() -> None:
    for package in (ROOT / "Cargo.lock").read_text().split("[[package]]")[1:]:
        if 'name = "kafka-email"' not in package:
            assert 'source = "registry+' in package, package
            assert re.search(r'^checksum = "[0-9a-f]{64}"$', package, re.MULTILINE), package
