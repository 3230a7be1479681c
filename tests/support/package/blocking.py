"""The blocking interface, connected to an embedded broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka_email.sync import kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for


@contextmanager
def started(**settings: Any) -> Iterator[EmbeddedBroker]:
    """Starts the manager with an embedded broker of its own; stops both at the end, whatever happened."""
    with EmbeddedBroker() as broker:
        try:
            kafka_manager.start(config_for(broker, **settings))
            yield broker
        finally:
            broker.round_trip_ms = 0
            kafka_manager.stop(0.1)
