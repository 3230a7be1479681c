"""What works without the extras, and what says which of them is missing."""

import subprocess
import sys

import pytest


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [("fastapi", "fastapi", "fastapi"), ("metrics", "prometheus_client", "prometheus")],
)
def test_a_missing_library_is_an_error_that_names_the_extra(module: str, library: str, extra: str) -> None:
    run(f"""
import sys
sys.modules[{library!r}] = None
import kafka_email, kafka_email.testing
try:
    import kafka_email.{module}
except ImportError as error:
    assert "pip install 'kafka-email[{extra}]'" in str(error), error
else:
    raise AssertionError("imported without the library")
""")


def test_a_command_line_without_click_says_what_to_install() -> None:
    script = "import sys; sys.modules['click'] = None; from kafka_email.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    message = "kafka-email: the command line needs click: pip install 'kafka-email[cli]'\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_the_package_alone_imports_none_of_them() -> None:
    run("""
import sys, kafka_email, kafka_email.testing
assert not {"click", "fastapi", "opentelemetry", "prometheus_client", "pytest"} & set(sys.modules)
""")
