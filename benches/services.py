"""What the benchmark starts and ends itself: Kafka, Redis and brokers without a disk."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import confluent_kafka
from confluent_kafka.admin import AdminClient

from support.kafka.cluster import KafkaCluster
from support.kafka.jars import kafka_jars
from support.kafka.java import java_command
from support.missing import MissingError
from support.ports import HOST, free_port
from support.watchdog import dismiss, watch

PARTITIONS = 6
START_S = 20.0
TOOLS = {"wrk": "wrk", "redis-server": "redis-server", "redis-cli": "redis-tools"}
"""Commands, and the Debian packages that have them."""


class Service(Protocol):
    """Somewhere to publish to."""

    servers: str

    def new_topic(self) -> str:
        """The name of a new, empty topic."""

    def stored(self, topic: str) -> int:
        """How many records it holds."""

    def remove(self, topic: str) -> None:
        """Ends a topic, so that no disk and no memory fills up."""


class KafkaService:
    """A Kafka of one node."""

    def __init__(self, cluster: KafkaCluster) -> None:
        """Takes a cluster that runs."""
        self.servers = cluster.bootstrap_servers
        self._cluster = cluster
        self._admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def new_topic(self) -> str:
        """A topic with six partitions."""
        return self._cluster.create_topic(partitions=PARTITIONS, file_delete_delay_ms="1000")

    def stored(self, topic: str) -> int:
        """The sum of the end offsets."""
        return _end_offsets(self.servers, topic)

    def remove(self, topic: str) -> None:
        """Deletes the topic."""
        self._admin.delete_topics([topic])[topic].result(START_S)


class RedisService:
    """A Redis without configuration."""

    def __init__(self, port: int) -> None:
        """Takes the port it listens on."""
        self.servers = f"redis://{HOST}:{port}/0"
        self._cli = ["redis-cli", "-h", HOST, "-p", str(port)]

    def new_topic(self) -> str:
        """Celery's queue comes into being with its first task."""
        return f"bench-{uuid.uuid4().hex[:12]}"

    def stored(self, topic: str) -> int:
        """The length of the queue."""
        return int(self.ask("llen", topic))

    def remove(self, topic: str) -> None:
        """Deletes the queue."""
        self.ask("unlink", topic)

    def ask(self, *command: str) -> str:
        """Redis' answer to a command."""
        return subprocess.run(
            [*self._cli, *command], capture_output=True, text=True, check=True, timeout=START_S
        ).stdout


class EmbeddedService:
    """An `EmbeddedBroker` in a process of its own: no disk, and a round trip as one wants it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Takes a process of `embedded.py`."""
        self._process = process
        self.servers = self._answer()

    def new_topic(self) -> str:
        """A topic with six partitions."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        assert self._process.stdin is not None
        print(name, PARTITIONS, file=self._process.stdin, flush=True)
        return self._answer()

    def stored(self, topic: str) -> int:
        """The sum of the end offsets."""
        return _end_offsets(self.servers, topic)

    def remove(self, topic: str) -> None:
        """Nothing: librdkafka's mock cluster cannot, and keeps but some megabytes of each topic."""

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Services:
    """Everything that can be published to, by name; each starts when it is asked for, and all end together."""

    def __init__(self, python: Path) -> None:
        """`python` is the interpreter of the environment with the clients."""
        self._python = python
        self._running: dict[str, Service] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, name: str) -> Service:
        """`kafka`, `redis`, or `embedded-2` for a round trip of 2 ms."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(self._start(name))
        return self._running[name]

    @contextmanager
    def _start(self, name: str) -> Iterator[Service]:
        if name == "kafka":
            with KafkaCluster() as cluster:
                yield KafkaService(cluster)
        elif name == "redis":
            with TemporaryDirectory(prefix="kafka-email-benches-") as directory:
                port = free_port()
                with ended(["redis-server", "--port", str(port), "--bind", HOST, "--dir", directory]):
                    yield _answering(RedisService(port))
        else:
            command = [str(self._python), "-m", "benches.embedded", name.removeprefix("embedded-")]
            with ended(command, stdin=subprocess.PIPE) as process:
                yield EmbeddedService(process)


def check_tools() -> None:
    """Makes sure that all can be started.

    Raises:
        MissingError: names what is missing and the package that has it.
    """
    missing = [f"{tool} (Debian package {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise MissingError(f"not in the search path: {', '.join(missing)}; install with `apt install`")
    java_command()
    kafka_jars()


@contextmanager
def ended(
    command: list[str], *, stdin: int = subprocess.DEVNULL, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs during the block, and not after it or after us, however we end."""
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
    watchdog = watch(process.pid)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        dismiss(watchdog)


def _answering(redis: RedisService) -> RedisService:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            redis.ask("ping")
        except subprocess.CalledProcessError:
            time.sleep(0.05)
        else:
            return redis
    raise RuntimeError(f"redis-server did not answer within {START_S:.0f} s")


def _end_offsets(servers: str, topic: str) -> int:
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "benches", "log_level": 0})
    try:
        parts = [confluent_kafka.TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum(consumer.get_watermark_offsets(part, timeout=START_S)[1] for part in parts)
    finally:
        consumer.close()
