"""Properties of librdkafka's consumer that ``WorkerConfig`` has no field for."""

from collections.abc import Mapping
from typing import ClassVar

from kafka_email.config.options import Forbidden, Options

_COMMITS = "the worker commits what is finished; a record that is not finished would be lost"


class ConsumerOptions(Options):
    """What ``WorkerConfig.consumer_options`` holds."""

    forbidden: ClassVar[Mapping[str, Forbidden]] = {
        "enable.auto.commit": Forbidden(_COMMITS),
        "enable.auto.offset.store": Forbidden(_COMMITS),
        "auto.offset.reset": Forbidden(
            "the worker would skip records that it has never seen; max_age_s keeps old mails back",
            harmless=frozenset({"earliest", "beginning", "smallest"}),
        ),
        "group.id": Forbidden("set group_id instead", harmless=frozenset()),
        "group.protocol": Forbidden(
            "the worker gives partitions back as the classic protocol does", harmless=frozenset({"classic"})
        ),
        "partition.assignment.strategy": Forbidden(
            "the worker assigns and gives back single partitions", harmless=frozenset({"cooperative-sticky"})
        ),
        "bootstrap.servers": Forbidden(
            "records and dead letters are on the same brokers; set bootstrap_servers of KafkaConfig instead",
            harmless=frozenset(),
        ),
        "enable.partition.eof": Forbidden("the worker waits for records, not for the end of a partition"),
        "enabled_events": Forbidden("the worker needs the events that it has chosen, or it would lose partitions"),
    }
