"""What type checkers see of the package."""

import ast
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kafka_email.config import KafkaConfig, SmtpConfig, WorkerConfig, kafka, smtp, worker
from kafka_email.config.base import GuardedSettings

USER = Path(__file__).parents[1] / "support" / "typed_user.py"


@pytest.mark.timeout(180)  # without a cache mypy reads all of Pydantic and FastAPI
@pytest.mark.parametrize("plugin", ["", "plugins = pydantic.mypy"], ids=["", "with Pydantic's plugin"])
def test_a_users_file_is_accepted(plugin: str, tmp_path: Path) -> None:
    shutil.copy(USER, tmp_path)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{plugin}\n")
    command = [sys.executable, "-m", "mypy", "--cache-dir", "cache", USER.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("module", "config"), [(kafka, KafkaConfig), (smtp, SmtpConfig), (worker, WorkerConfig)])
def test_the_arguments_of_a_configuration_are_its_fields(module: ModuleType, config: type[GuardedSettings]) -> None:
    (constructor,) = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    arguments = [argument.arg for argument in constructor.args.kwonlyargs]
    assert arguments == [*config.model_fields, "_env_file"]
