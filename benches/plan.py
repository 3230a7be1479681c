"""What is measured: cases of a client, its settings and a load; all of them, or the few of a quick run."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benches.settings import BLOCKING, CLIENTS, MANY, NO_COMPRESSION, Settings

WARM_UP_S = 0.3
WINDOW_S = 1.2
VARIANTS = ("defaults", "best")
AT_ONCE = (1, 10, 100, 1000, 10_000)
ROUND_TRIPS_MS = (0, 1, 2, 20)
LINGERS_MS = (0, 1, 5, 10)
ONE_THREAD, THREADS, NOT_AWAITED, PACED = "1 thread", "64 threads", "100,000 not awaited", "1000 a second"
ENDPOINTS = {
    "none": ("none", {}),
    "ours": ("ours", CLIENTS["ours"].defaults),
    "original": ("original", CLIENTS["original"].defaults),
    "original best": ("original", CLIENTS["original"].best),
    "Celery": ("celery_redis", {}),
    "Celery in threads": ("celery_redis", {"threads": 4}),
}


@dataclass(frozen=True)
class Case:
    """One thing to measure, as often as there are rounds."""

    table: str
    client: str
    variant: str
    point: int | str
    """Where on the table's axis: how many at once, a rate, a codec."""
    load: str
    """One of `loads.LOADS` or `blocking.LOADS`, `endpoint` or `imports`."""
    settings: Settings = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    service: str = "kafka"
    loop: str = "asyncio"
    rounds: int | None = None
    """How many rounds; as many as the plan says if None."""

    @property
    def name(self) -> str:
        """By what the report and the bounds know it."""
        return f"{self.table}/{self.client}/{self.variant}/{self.point}"


@dataclass(frozen=True)
class Plan:
    """Cases, how often, and how long each."""

    cases: tuple[Case, ...]
    rounds: int
    is_quick: bool

    def only(self, tables: list[str]) -> "Plan":
        """The cases of some tables; all if there are none."""
        return replace(self, cases=tuple(case for case in self.cases if not tables or case.table in tables))


def full(rounds: int | None) -> Plan:
    """Everything."""
    cases = [
        # What is compared is measured one right after the other: the machine's speed changes from minute to minute.
        *(
            _throughput(client, variant, n, WINDOW_S)
            for n in AT_ONCE
            for client in CLIENTS
            for variant in (*VARIANTS, *([NO_COMPRESSION] if client == "ours" else []))
        ),
        *(
            _publish_many(variant, *shape, WINDOW_S)
            for shape in ((100, 100), (1, 10_000))
            for variant in (*VARIANTS, NO_COMPRESSION)
        ),
        *(
            _latency(client, variant, rate, seconds)
            for client in ("ours", "original", "confluent_thread", "celery_redis")
            for variant in (VARIANTS if client in ("ours", "original") else ("best",))
            for rate, seconds in ((100, 3.0), (1000, 2.0))
        ),
        *_blocking(WINDOW_S),
        *map(_endpoint, ENDPOINTS),
        *(_fairness(variant, WINDOW_S) for variant in VARIANTS),
        _burst("ours", 3),
        _burst("original", 1),
        _marathon(10_000_000),
        *_imports(),
        *(
            _closed("uvloop", client, "defaults", n, WINDOW_S, CLIENTS[client].defaults, loop="uvloop")
            for client in ("ours", "original")
            for n in (100, 1000)
        ),
        *(
            _closed("codecs", "ours", codec, 1000, WINDOW_S, {"compression_type": codec})
            for codec in ("none", "gzip", "snappy", "lz4", "zstd")
        ),
        *(
            _closed("in_flight", "ours", str(requests), n, WINDOW_S, {"max_in_flight_requests": requests})
            for requests in (1, 2, 5)
            for n in (100, 1000)
        ),
        *(
            _batching(batching, distance, n, 0.7, 3)
            for distance in ROUND_TRIPS_MS
            for n in AT_ONCE[:4]
            for batching in ("adaptive", *LINGERS_MS)
        ),
        *(_limit(distance, 0.7, 3) for distance in ROUND_TRIPS_MS),
    ]
    return Plan(tuple(cases), rounds or 5, is_quick=False)


def quick(rounds: int | None) -> Plan:
    """What the bounds need, and a look at everything else; windows of a second."""
    cases = [
        *(_throughput(client, "defaults", n, 1.0) for n in AT_ONCE[:4] for client in ("ours", "original")),
        _throughput("ours", "defaults", 10_000, 1.0),
        *(_throughput(client, "best", 1000, 1.0) for client in CLIENTS),
        _throughput("ours", NO_COMPRESSION, 1000, 1.0),
        _throughput("librdkafka", "defaults", 1000, 1.0),
        _throughput("librdkafka", "defaults", 10_000, 1.0),
        _throughput("librdkafka", "best", 10_000, 1.0),
        *(_publish_many(variant, 100, 100, 1.0) for variant in ("defaults", NO_COMPRESSION)),
        *(_latency(client, variant, 1000, 1.0) for client in ("ours", "original") for variant in VARIANTS),
        *(case for case in _blocking(1.0) if case.point in (ONE_THREAD, NOT_AWAITED)),
        *map(_endpoint, ("none", "ours", "original", "Celery")),
        _fairness("defaults", 1.0),
        _burst("ours", 1),
        _marathon(1_000_000),
        *_imports(),
        *(_batching(batching, 2, 100, 0.5, 1) for batching in ("adaptive", *LINGERS_MS)),
        *(measure for d in (2, 20) for measure in (_batching("adaptive", d, 1, 0.5, 1), _limit(d, 0.5, 1))),
    ]
    return Plan(tuple(cases), rounds or 2, is_quick=True)


def _timed(seconds: float, **arguments: Any) -> dict[str, Any]:
    return arguments | {"warm_up_s": WARM_UP_S, "window_s": seconds}


def _closed(
    table: str, client: str, variant: str, at_once: int, seconds: float, settings: Settings, **more: Any
) -> Case:
    """So many coroutines that each publish one event after the other."""
    return Case(table, client, variant, at_once, "closed", settings, _timed(seconds, at_once=at_once), **more)


def _throughput(name: str, variant: str, at_once: int, seconds: float) -> Case:
    client = CLIENTS[name]
    if variant == "defaults" and at_once < MANY:
        seconds = max(seconds, 3 * client.timer_s)
    # One turn of a loop that so many publishes block takes many seconds.
    more = {"service": client.service, "rounds": 1 if client.blocks_loop and at_once > MANY else None}
    return _closed("throughput", name, variant, at_once, seconds, client.settings(variant, at_once), **more)


def _publish_many(variant: str, batches: int, size: int, seconds: float) -> Case:
    settings, arguments = CLIENTS["ours"].settings(variant), _timed(seconds, batches=batches, size=size)
    return Case("publish_many", "ours", variant, f"{batches} x {size}", "batches", settings, arguments)


def _latency(name: str, variant: str, rate: int, seconds: float) -> Case:
    client = CLIENTS[name]
    settings, arguments = client.settings(variant), {"rate": rate, "warm_up_s": 1.0, "window_s": seconds}
    return Case("latency", name, variant, rate, "paced", settings, arguments, client.service)


def _blocking(seconds: float) -> Iterator[Case]:
    """Callers without an event loop."""
    one, many = _timed(seconds, threads=1), _timed(seconds, threads=64)
    alone, alone_arguments = CLIENTS["librdkafka"].defaults, _timed(seconds, at_once=1)
    yield Case("blocking", "librdkafka", "defaults", ONE_THREAD, "closed", alone, alone_arguments)
    yield _blocking_case("ours_sync", "defaults", ONE_THREAD, "threads", one)
    yield _blocking_case("confluent_sync", "flush, linger 0", ONE_THREAD, "threads", one)
    yield _blocking_case("confluent_sync", "flush", ONE_THREAD, "threads", one)
    yield _blocking_case("ours_celery", "defaults", ONE_THREAD, "threads", one)
    yield _blocking_case("celery_redis", "best", ONE_THREAD, "threads", one, service="redis")
    yield _blocking_case("ours_celery", "wait=False", NOT_AWAITED, "not_awaited", {"events": 100_000})
    yield _blocking_case("ours_sync", "nowait", NOT_AWAITED, "not_awaited", {"events": 100_000})
    for variant in ("poll(0)", "poll(0), nothing checked"):
        yield _blocking_case("confluent_sync", variant, NOT_AWAITED, "not_awaited", {"events": 100_000})
    yield _blocking_case("ours_sync", "defaults", THREADS, "threads", many)
    yield _blocking_case("confluent_sync", "flush, linger 0", THREADS, "threads", many)
    paced = {"rate": 1000, "warm_up_s": 1.0, "window_s": 2.0}
    yield _blocking_case("ours_sync", "defaults", PACED, "paced_threads", paced | {"threads": 16})
    yield Case("blocking", "ours", "defaults", PACED, "paced", CLIENTS["ours"].defaults, paced)


def _blocking_case(
    client: str, variant: str, point: str, load: str, arguments: dict[str, Any], service: str = "kafka"
) -> Case:
    return Case("blocking", client, variant, point, load, BLOCKING[client][variant], arguments, service)


def _endpoint(name: str) -> Case:
    client, settings = ENDPOINTS[name]
    service, arguments = "redis" if client == "celery_redis" else "kafka", {"client": client, "window_s": 2.0}
    return Case("endpoint", name, "64 connections", "POST", "endpoint", settings, arguments, service)


def _fairness(variant: str, seconds: float) -> Case:
    closed = _closed("fairness", "ours", variant, 10_000, seconds, CLIENTS["ours"].settings(variant))
    return replace(closed, load="fairness")


def _burst(name: str, rounds: int) -> Case:
    settings, arguments = CLIENTS[name].defaults, {"events": 100_000}
    return Case("outstanding", name, "defaults", 100_000, "burst", settings, arguments, rounds=rounds)


def _marathon(events: int) -> Case:
    return Case("memory", "ours", "defaults", events, "marathon", {}, {"events": events, "at_once": 1000}, rounds=1)


def _imports() -> Iterator[Case]:
    for client, modules in (("ours", "kafka_email"), ("original", "aiokafka, email_validator, pydantic_settings")):
        yield Case("imports", client, "fresh interpreter", modules, "imports", rounds=10)


def _batching(batching: str | int, round_trip_ms: int, at_once: int, seconds: float, rounds: int) -> Case:
    is_adaptive = batching == "adaptive"
    settings = {"batching": batching} if is_adaptive else {"linger_ms": batching}
    variant = "adaptive" if is_adaptive else f"linger {batching}"
    return _far(round_trip_ms, "ours", variant, at_once, seconds, settings, rounds=rounds)


def _limit(round_trip_ms: int, seconds: float, rounds: int) -> Case:
    """What a round trip really takes: librdkafka alone, one event after the other."""
    return _far(round_trip_ms, "librdkafka", "defaults", 1, seconds, CLIENTS["librdkafka"].defaults, rounds=rounds)


def _far(round_trip_ms: int, *publishes: Any, rounds: int) -> Case:
    """`_closed` with a broker that is so far away."""
    service = f"embedded-{round_trip_ms}"
    return _closed(f"batching_{round_trip_ms}ms", *publishes, service=service, rounds=rounds)
