"""What a program imports, and when: tests freeze the clock, and freezers look for modules, before anything is used."""

import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]

IN_FROZEN_TIME = """
import asyncio
import pydantic
import kafka_email
from freezegun import freeze_time
from kafka_email.testing import capture_events

async def main():
    with capture_events() as captured:
        await kafka_email.EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
    print(captured.events[0].value["timestamp"], kafka_email.KafkaConfig().client_id)

with freeze_time("2026-01-02 03:04:05"):
    asyncio.run(main())
"""


def test_the_first_publish_may_be_in_frozen_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_FROZEN_TIME], check=False, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("2026-01-02T03:04:05 kafka-email\n", "")


def test_nothing_of_the_package_is_imported_after_it() -> None:
    script = """
import asyncio, sys
import kafka_email
before = set(sys.modules)

async def main():
    try:
        await kafka_email.EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
    except kafka_email.NotStartedError:
        pass
    await kafka_email.kafka_manager.health()
    kafka_email.kafka_config, kafka_email.EmailEventPayload

asyncio.run(main())
print(*sorted(name for name in set(sys.modules) - before if name.startswith(("kafka_email", "pydantic."))))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_what_the_native_half_imports_is_imported_by_python_as_well() -> None:
    sources = "".join(file.read_text() for file in ROOT.glob("src/**/*.rs"))
    imported = set(re.findall(r'"(kafka_email\.\w+)"', sources)) - {"kafka_email._core"}
    graph = grimp.build_graph("kafka_email", cache_dir=None)
    assert "kafka_email._wakeup" in imported
    reached = graph.find_upstream_modules("kafka_email")
    assert imported <= reached, "a program frozen by PyInstaller would lack them"


@pytest.mark.parametrize("names", ["KafkaConfig", "EmailPublisher, kafka_manager, KafkaHealth"])
def test_a_variable_that_is_not_valid_breaks_no_import(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_LINGER_MS", "soon")
    script = f"from kafka_email import {names}; import kafka_email.testing, kafka_email.fastapi"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
