"""Kafka as the tests meet it: any Kafka by its address, or a cluster of their own."""

import base64
import re
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from support.kafka import consume, topics
from support.kafka.consume import Received
from support.kafka.node import KafkaNode
from support.kafka.properties import SCRAM_MECHANISMS, Addresses, ServerOptions, server_properties
from support.ports import HOST

USER, PASSWORD = "postman", "postman-password"
"""Who may log in at the fixture `secure_kafka`."""
_ACTIVE = re.compile(r"Becoming the active controller at epoch (\d+)")


class Kafka:
    """A Kafka that runs somewhere; tests share it, so it can be used but neither stopped nor changed."""

    def __init__(self, bootstrap_servers: str) -> None:
        """Takes `host:port`, more than one separated by commas, of listeners without TLS and SASL."""
        self.bootstrap_servers = bootstrap_servers

    def create_topic(self, name: str | None = None, *, partitions: int = 6, **config: str) -> str:
        """Creates a topic, by a name of its own if none is given, and returns its name; see `topics.create`."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        topics.create(self.bootstrap_servers, name, partitions, config)
        return name

    def consume(self, topic: str, count: int, timeout: float = 20.0) -> list[Received]:
        """Everything in a topic, once there are `count` records, read by confluent-kafka."""
        return consume.with_confluent_kafka(self.bootstrap_servers, topic, count, timeout)

    async def consume_async(self, topic: str, count: int, timeout: float = 20.0) -> list[Received]:
        """Everything in a topic, once there are `count` records, read by aiokafka."""
        return await consume.with_aiokafka(self.bootstrap_servers, topic, count, timeout)


class KafkaCluster(Kafka):
    """A Kafka of one's own on this machine: one node, or several that replicate everything.

    With three nodes, a topic has three replicas and takes a write while two of them live. Ports and data stay the
    same until the end of the `with` block, which leaves nothing behind.
    """

    def __init__(self, nodes: int = 1, **options: Any) -> None:
        """Prepares the nodes; `options` are the fields of `ServerOptions`."""
        self.options = ServerOptions(**options)
        self._directory = tempfile.TemporaryDirectory(prefix="kafka-email-tests-")
        self._addresses = [Addresses.free(self.options) for _ in range(nodes)]
        self.nodes = [self._node(number) for number in range(1, nodes + 1)]
        super().__init__(self.address("PLAINTEXT"))

    def __enter__(self) -> "KafkaCluster":
        """Formats and starts all nodes."""
        try:
            cluster_id = _cluster_id()
            for node in self.nodes:
                node.format(cluster_id, self._scram_users())
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends all nodes and removes their data."""
        self.close()

    def address(self, listener: str) -> str:
        """The `bootstrap.servers` of a listener: PLAINTEXT or one of those asked for."""
        return ",".join(f"{HOST}:{addresses.listeners[listener]}" for addresses in self._addresses)

    def start(self) -> None:
        """Starts every node that does not run, and waits until all serve clients."""
        down = [node for node in self.nodes if not node.is_running]
        for node in down:
            node.launch()
        for node in down:  # only after launching all: one node alone has no quorum
            node.wait_until_started()

    def stop(self) -> None:
        """Stops every node (SIGTERM)."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """Kills every node (SIGKILL)."""
        for node in self.nodes:
            node.kill()

    def restart(self) -> None:
        """Stops all nodes, then starts them again: same ports, same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes every node (SIGSTOP)."""
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        """Lets every node run on (SIGCONT)."""
        for node in self.nodes:
            node.resume()

    def heal(self) -> None:
        """Brings back what is frozen or down, and waits until every partition has all its replicas again."""
        for node in self.nodes:
            if node.is_running:
                node.resume()
        self.start()
        topics.wait_until_replicated(self.bootstrap_servers)

    def leader(self, topic: str, partition: int = 0) -> KafkaNode:
        """The node that leads a partition."""
        return self.nodes[topics.leaders(self.bootstrap_servers, topic)[partition] - 1]

    def controller(self) -> KafkaNode:
        """The node whose controller is the active one: the last that said so."""
        return max(self.nodes, key=lambda node: max(map(int, _ACTIVE.findall(node.log_path.read_text())), default=0))

    def close(self) -> None:
        """Ends all nodes and removes their data."""
        self.kill()
        self._directory.cleanup()

    def _node(self, number: int) -> KafkaNode:
        directory = Path(self._directory.name, str(number))
        directory.mkdir()
        return KafkaNode(directory, server_properties(number, self._addresses, self.options, directory / "data"))

    def _scram_users(self) -> list[str]:
        """Arguments that write the users' SCRAM passwords into a new data directory."""
        return [
            argument
            for mechanism in SCRAM_MECHANISMS
            for user, password in self.options.users.items()
            for argument in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
        ]


def _cluster_id() -> str:
    """A random id in Kafka's form; the letter in front keeps it from looking like an option."""
    return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
