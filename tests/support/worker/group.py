"""A consumer group as Kafka knows it."""

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import OFFSET_INVALID

_SECONDS = 20.0


class Group:
    """Positions and members of a group that reads one topic."""

    def __init__(self, bootstrap_servers: str, name: str, topic: str, partitions: int = 6) -> None:
        """Joins nothing."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": name})
        self._name = name
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    def lag(self) -> int:
        """How many records are not below a committed offset."""
        committed = self._consumer.committed(self._partitions, timeout=_SECONDS)
        lag = 0
        for place in committed:
            _, end = self._consumer.get_watermark_offsets(place, timeout=_SECONDS)
            lag += end - (0 if place.offset == OFFSET_INVALID else place.offset)
        return lag

    def shares(self) -> list[int]:
        """How many partitions the coordinator has given to each member; empty while the group has no balance."""
        group = self._admin.describe_consumer_groups([self._name])[self._name].result(_SECONDS)
        if group.state.name != "STABLE":
            return []
        return [len(member.assignment.topic_partitions) for member in group.members]

    def coordinator(self) -> int:
        """The number of the node that looks after the group."""
        number = self._admin.describe_consumer_groups([self._name])[self._name].result(_SECONDS).coordinator.id
        assert isinstance(number, int)
        return number

    def close(self) -> None:
        """Lets go of the connections."""
        self._consumer.close()
