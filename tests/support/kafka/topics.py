"""Creating topics, with confluent-kafka's admin client."""

import time
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

SECONDS = 20.0


def ping(bootstrap_servers: str) -> None:
    """Asks a Kafka for its metadata.

    Raises:
        KafkaException: it does not answer.
    """
    AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=SECONDS)


def create(bootstrap_servers: str, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """Creates a topic, replicated as the cluster's default says, and waits until each partition has a leader.

    Args:
        bootstrap_servers: of a listener without TLS and SASL.
        name: must not exist yet.
        partitions: how many.
        config: topic settings by Kafka's names with `_` in place of `.`: `min_insync_replicas="1"`.

    Raises:
        KafkaException: the cluster refused, or did not answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    settings = {setting.replace("_", "."): value for setting, value in config.items()}
    wish = NewTopic(name, num_partitions=partitions, config=settings)
    admin.create_topics([wish], request_timeout=SECONDS)[name].result()
    deadline = time.monotonic() + SECONDS
    while not _has_leaders(admin, name, partitions):
        assert time.monotonic() < deadline, f"topic {name} has partitions without a leader"
        time.sleep(0.05)


def _has_leaders(admin: AdminClient, name: str, partitions: int) -> bool:
    known = admin.list_topics(name, timeout=SECONDS).topics[name].partitions
    return len(known) == partitions and all(partition.leader >= 0 for partition in known.values())


def leaders(bootstrap_servers: str, name: str) -> dict[int, int]:
    """Number of the node that leads, by partition; -1 where none does."""
    known = AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(name, timeout=SECONDS).topics[name]
    return {number: partition.leader for number, partition in known.partitions.items()}


def wait_until_replicated(bootstrap_servers: str, seconds: float = 60.0) -> None:
    """Waits until every partition of every topic has a leader and all its replicas in sync.

    Raises:
        AssertionError: some had not in time.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    deadline = time.monotonic() + seconds
    while behind := _not_replicated(admin):
        assert time.monotonic() < deadline, f"still not replicated after {seconds} s: {behind}"
        time.sleep(0.2)


def _not_replicated(admin: AdminClient) -> list[str]:
    return [
        f"{name}/{number}"
        for name, topic in admin.list_topics(timeout=SECONDS).topics.items()
        for number, partition in topic.partitions.items()
        if partition.leader < 0 or len(partition.isrs) < len(partition.replicas)
    ]
