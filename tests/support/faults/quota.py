"""Kafka's quotas: how many bytes a second a broker lets a client write before it makes it wait."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.kafka.node import java


@contextmanager
def producer_quota(bootstrap_servers: str, bytes_per_second: int) -> Iterator[None]:
    """Holds every client to a rate, for each broker, until the end of the block."""
    _alter(bootstrap_servers, "--add-config", f"producer_byte_rate={bytes_per_second}")
    try:
        yield
    finally:
        _alter(bootstrap_servers, "--delete-config", "producer_byte_rate")


def _alter(bootstrap_servers: str, *change: str) -> None:
    command = [*java("kafka.admin.ConfigCommand"), "--bootstrap-server", bootstrap_servers, "--alter", *change]
    done = subprocess.run(
        [*command, "--entity-type", "clients", "--entity-default"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"no quota: {done.stdout}{done.stderr}"
