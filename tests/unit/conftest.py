"""What every unit test starts from."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from kafka_email import kafka_manager
from kafka_email.testing import EmbeddedBroker


@pytest.fixture(autouse=True)
def _no_kafka_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of whoever runs the tests out of them."""
    for name in [name for name in os.environ if name.upper().startswith("KAFKA_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker for tests that run event loops of their own; the manager is stopped afterwards."""
    with EmbeddedBroker() as running:
        yield running
        running.round_trip_ms = 0
        asyncio.run(kafka_manager.stop(0.1))
