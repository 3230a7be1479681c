"""Each run tries other examples, and says how to try the same ones again."""

import re
import subprocess
import sys

import hypothesis.core
import pytest
from hypothesis import settings


def header(*options: str) -> str:
    """The seed that a run of pytest shows."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *options, __file__]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"^examples: --hypothesis-seed=(\d+)$", shown, re.MULTILINE)[1]


def test_runs_have_seeds_of_their_own_and_show_them(pytestconfig: pytest.Config) -> None:
    assert header() != pytestconfig.option.hypothesis_seed
    assert header("--hypothesis-seed=7") == "7"


def test_the_seed_that_is_shown_is_the_one_in_use(pytestconfig: pytest.Config) -> None:
    assert str(hypothesis.core.global_force_seed) == pytestconfig.option.hypothesis_seed
    assert not settings().derandomize
    assert settings().print_blob
