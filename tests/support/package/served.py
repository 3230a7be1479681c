"""Web applications under a server in a process of its own."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from kafka_email.testing import EmbeddedBroker
from support.package.process import finish, process
from support.ports import HOST, free_port


@contextmanager
def served(
    broker: EmbeddedBroker, *command: str, health: str = "/health", **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    """Runs a module of Python that serves, until it answers; `PORT` in the command is the port of the client."""
    port = free_port()
    arguments = [argument.replace("PORT", str(port)) for argument in command]
    with (
        process(["-m", *arguments], KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers, **environment) as server,
        httpx.Client(
            base_url=f"http://{HOST}:{port}", timeout=10, trust_env=False, headers={"connection": "close"}
        ) as client,
    ):
        deadline = time.monotonic() + 20
        while True:
            try:
                client.get(health).raise_for_status()
                break
            except httpx.TransportError:
                assert server.poll() is None, finish(server)
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield server, client
