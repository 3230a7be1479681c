"""The settings of each client: as a user gets them (`defaults`) and the fastest found by trying (`best`).

Every client waits for all in-sync replicas. A rival's best may differ between few and many at once: it gets what suits
it at each.
"""

from dataclasses import dataclass, field
from typing import Any

Settings = dict[str, Any]

NO_COMPRESSION = "no compression"
"""A variant beside `defaults` and `best`: that of kafka-email to compare with librdkafka's best."""
MANY = 1000


@dataclass(frozen=True)
class Client:
    """A file of `clients/` and what it is called in the report."""

    module: str
    title: str
    defaults: Settings
    best: Settings
    best_of_many: Settings = field(default_factory=dict)
    """What else is best from `MANY` at once on."""
    service: str = "kafka"
    timer_s: float = 0.0
    """How long its defaults let an event wait for others, when few come."""
    blocks_loop: bool = False
    """Whether a publish ends before another coroutine has its turn."""

    def settings(self, variant: str, at_once: int = 1) -> Settings:
        """The settings of a variant: `defaults`, `best` or `NO_COMPRESSION`."""
        if variant == "defaults":
            return self.defaults
        if variant == NO_COMPRESSION:
            return self.defaults | {"compression_type": "none"}
        return self.best | (self.best_of_many if at_once >= MANY else {})


_OWN_LIBRDKAFKA = {
    "client.id": "kafka-email",
    "acks": "all",
    "enable.idempotence": "true",
    "max.in.flight.requests.per.connection": "5",
    "message.send.max.retries": "2147483647",
    "message.timeout.ms": "29000",
    "request.timeout.ms": "29000",
    "message.max.bytes": "1048576",
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": "100000",
    "queue.buffering.max.kbytes": "102400",
    "linger.ms": "0",
    "sticky.partitioning.linger.ms": "10",
}
"""What kafka-email sets for its defaults, compression aside."""

_LINGER_1: Settings = {"properties": {"acks": "all", "linger.ms": 1}}
_LARGE_BATCHES: Settings = {"linger_ms": 0, "max_batch_size": 262_144}
_LINGER_OF_MANY: Settings = {"linger_ms": 1}

CLIENTS: dict[str, Client] = {
    client.module: client
    for client in (
        Client("ours", "kafka-email", {}, {"compression_type": "zstd", "max_in_flight_requests": 1}),
        Client(
            "original",
            "original (Pydantic, aiokafka)",
            {"compression_type": "gzip", "linger_ms": 10, "max_batch_size": 16_384},
            _LARGE_BATCHES,
            _LINGER_OF_MANY,
        ),
        Client("aiokafka_plain", "aiokafka, nothing checked", {}, _LARGE_BATCHES, _LINGER_OF_MANY),
        Client(
            "confluent_aio",
            "confluent-kafka AIOProducer",
            {"properties": {"acks": "all"}},
            # A batch that does not fill up waits for a timer of at least 0.1 s.
            _LINGER_1 | {"buffer_timeout": 0.1, "batch_size": 10},
            {"batch_size": 500},
            timer_s=1.5,
        ),
        Client(
            "confluent_thread",
            "confluent-kafka, polling thread",
            {"properties": {"acks": "all"}},
            {"properties": {"acks": "all", "linger.ms": 0, "max.in.flight": 1}},
            _LINGER_1,
        ),
        Client("celery_redis", "Celery on Redis", {}, {"task_ignore_result": True}, service="redis", blocks_loop=True),
        Client("faststream_kafka", "FastStream", {}, _LARGE_BATCHES, _LINGER_OF_MANY),
        Client(
            "librdkafka",
            "librdkafka alone (the limit)",
            _OWN_LIBRDKAFKA | {"compression.type": "gzip"},
            _OWN_LIBRDKAFKA | {"compression.type": "none"},
        ),
    )
}

_GZIP: Settings = {"acks": "all", "compression.type": "gzip"}

BLOCKING: dict[str, dict[str, Settings]] = {
    "ours_sync": {"defaults": {}, "nowait": {"waits": False}},
    "ours_celery": {"defaults": {}, "wait=False": {"waits": False}},
    "confluent_sync": {
        "flush": {"properties": _GZIP},
        "flush, linger 0": {"properties": _GZIP | {"linger.ms": 0, "enable.idempotence": True}},
        "poll(0)": {"properties": _GZIP, "waits": False},
        "poll(0), nothing checked": {"properties": _GZIP, "waits": False, "checks": False},
    },
    "celery_redis": {"best": CLIENTS["celery_redis"].best},
}
"""The settings of the clients without an event loop, by client and variant. All Kafka clients compress with gzip."""

_TITLES = {
    **{name: client.title for name, client in CLIENTS.items()},
    "ours_sync": "kafka-email, `sync`",
    "ours_celery": "kafka-email, `celery`",
    "confluent_sync": "confluent-kafka",
    "none": "nothing published",
}


def title(client: str) -> str:
    """What the report calls a client, or a variant of one that has its own name already."""
    return _TITLES.get(client, client)
