"""Runs the project that the tests use: settings are those of a process, so each test has its own processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MANAGE = [sys.executable, str(FOLDER / "manage.py")]


def environment(setting: Any = None, **variables: str) -> dict[str, str]:
    """The environment of the project, with a value for `KAFKA_EMAIL`."""
    given = {} if setting is None else {"SHOP_KAFKA_EMAIL": json.dumps(setting)}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "shop_settings", **given, **variables}


def manage(*arguments: str, setting: Any = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs `manage.py` to its end."""
    return _run([*MANAGE, *arguments], environment(setting, **variables))


def script(code: str, setting: Any = None, **variables: str) -> str:
    """Runs code in a process, after `import django`; returns its output."""
    given = environment(setting, PYTHONPATH=str(FOLDER), **variables)
    done = _run([sys.executable, "-c", f"import django\n{code}"], given)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _run(command: list[str], given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=50, check=False)
