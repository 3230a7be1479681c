"""Every test runs in `make test` or has a command of its own."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_no_folder_of_tests_is_forgotten(pytestconfig: pytest.Config) -> None:
    folders = {file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("tests/**/test_*.py")}
    makefile = ROOT.joinpath("Makefile").read_text()
    apart = {folder for folder in folders if f"/pytest {folder} " in makefile}
    assert folders == apart | set(pytestconfig.getini("testpaths"))
