"""The manager of the one producer of a process: start, publish, health, stop."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from kafka_email import _callbacks, _logging
from kafka_email._core import Health, StopCounts, librdkafka_version, release_mailbox
from kafka_email._encoding import Headers, checked_event_id, encode_headers, encode_key
from kafka_email._life import Life, Opening, StandInT
from kafka_email._token import fetch_token, fetch_token_in_thread, kafka_tokens
from kafka_email._tracing import sending
from kafka_email._validation import encode_event, event_type
from kafka_email._wakeup import running_loop
from kafka_email.config import KafkaConfig
from kafka_email.config.producer_options import skips_verification
from kafka_email.exceptions import ConfigurationError
from kafka_email.health import KafkaHealth, StopReport
from kafka_email.topics import KafkaTopics, topic_name

if TYPE_CHECKING:
    from kafka_email._core import RecordMetadata
    from kafka_email._producer import PublishingProducer
    from kafka_email.config import kafka_config

__all__ = ["KafkaManager", "get_kafka_manager", "kafka_config", "kafka_manager"]

_STOP_TIMEOUT_S = 10.0
_STOP_PATIENCE = timedelta(seconds=3)
_STOP_POLL_S = 0.01
_HEALTH_TIMEOUT_S = 2.0
_LONGEST_TIMEOUT_S = 30 * 86_400.0


class KafkaManager:
    """Owner of the producer. There is one for each process: ``KafkaManager() is kafka_manager``.

    Publishing works from any number of asyncio or uvloop event loops and threads, whichever one called ``start()``.
    """

    _instance: KafkaManager | None = None
    _life: Life
    _connected: _Assignable

    def __new__(cls) -> KafkaManager:
        """Return the one instance."""
        if cls._instance is None:
            manager = super().__new__(cls)
            manager._life = Life()
            manager._life.watch_process()
            manager._connected = _Assignable()
            cls._instance = manager
        return cls._instance

    def __reduce__(self) -> tuple[type[KafkaManager], tuple[()]]:
        return (KafkaManager, ())

    @property
    def config(self) -> KafkaConfig:
        """The configuration in use: the one given to ``start()``, or the default instance ``kafka_config``."""
        return self._life.config or _default_config()

    @property
    def email_topic(self) -> str:
        """Name of the topic of the e-mail events, from the configuration in use."""
        return self._life.email_topic or topic_name(self.config.email_topic)

    async def start(self, config: KafkaConfig | None = None) -> None:
        """Connect to Kafka. Does nothing when connected already; concurrent calls connect once.

        Up to ``max_connection_retries`` attempts, with pauses that begin at ``retry_delay_seconds`` and double, up to
        30 s. With ``KafkaConfig.required=False`` a cluster out of reach is logged and connected to in the background.

        Of concurrent calls, the first one decides the configuration. Cancelling a call takes effect at once; when all
        of them are cancelled, nothing is left behind.

        Args:
            config: The configuration; ``kafka_config`` when not given.

        Raises:
            KafkaConnectionError: No broker answered; names each broker and the cause. Without retries when the TLS
                handshake failed with every address.
            AuthenticationError: No broker accepted the credentials; without retries.
            ConfigurationError: librdkafka refuses the configuration; at once.
            RuntimeError: No event loop of asyncio or uvloop runs.
        """
        chosen = config or _default_config()
        if not self._life.resume():
            running_loop()
            opening = self._life.open(chosen, await fetch_token(kafka_tokens(chosen)))
            if opening is not None:
                await self._connect(opening)
        if self._life.is_running_with_another(chosen):
            message = "already started: the other configuration takes effect after stop() and start()"
            _logging.log(logging.WARNING, "already_started", message)

    async def _connect(self, opening: Opening) -> None:
        try:
            await opening.producer.started()
        except BaseException:
            self._life.leave(opening)
            raise
        if self._life.run(opening):
            _warn_if_unverified(opening.config)
            state = "connected" if opening.producer.is_connected else "connecting in the background"
            servers = opening.config.effective_servers
            _logging.log(logging.INFO, "started", f"started: {state}, {servers}")

    async def stop(self, timeout: float | None = None) -> StopReport:
        """Refuse new events, flush within ``timeout`` seconds (10 when None), fail what is left, release everything.

        Never raises and never blocks the loop. Without a start, or the second time, it does nothing. Cancelling the
        await does not keep the producer open: stopping continues in the background. Where no event loop of asyncio or
        uvloop runs, it is a ``RuntimeError`` to await it, and the producer stays as it is.

        Returns:
            What became of the events that were not acknowledged yet.
        """
        producer = self._life.end()
        if producer is None:
            return StopReport(delivered=0, failed=0, elapsed_s=0.0)
        counts = await _stop(producer, _duration(timeout, _STOP_TIMEOUT_S))
        _callbacks.end()
        level = logging.WARNING if counts.failed else logging.INFO
        outcome = f"{counts.delivered} events delivered, {counts.failed} failed"
        _logging.log(level, "stopped", f"stopped after {counts.elapsed_s:.3f} s: {outcome}")
        release_mailbox()
        return StopReport(delivered=counts.delivered, failed=counts.failed, elapsed_s=counts.elapsed_s)

    @property
    def is_connected(self) -> bool:
        """Whether the cluster has answered lately: false within 10 s of its loss, true within 10 s of its return.

        No I/O. Tests may assign another value, which then hides the true one; assigning the true one ends that.
        """
        return self._connected.read(self._is_connected())

    @is_connected.setter
    def is_connected(self, value: bool) -> None:
        self._connected.assign(value, self._is_connected())

    @is_connected.deleter
    def is_connected(self) -> None:
        self._connected.reset()

    def _is_connected(self) -> bool:
        producer = self._life.producer
        return producer is not None and producer.is_connected

    async def health(self, timeout: float = _HEALTH_TIMEOUT_S) -> KafkaHealth:
        """Ask the cluster for its health, within ``timeout`` seconds.

        Never raises. Concurrent calls share one question to the cluster.
        """
        try:
            health = await self.native_producer().health(_duration(timeout, _HEALTH_TIMEOUT_S))
        except Exception as error:
            health = Health(healthy=False, brokers=0, latency_ms=None, queued=0, in_flight=0, last_error=str(error))
        return KafkaHealth(
            healthy=health.healthy,
            brokers=health.brokers,
            topic=self._topic_or_nothing(),
            latency_ms=health.latency_ms,
            queued=health.queued,
            in_flight=health.in_flight,
            last_error=health.last_error,
            librdkafka_version=librdkafka_version(),
        )

    def _topic_or_nothing(self) -> str:
        try:
            return self.email_topic
        except (ValidationError, ConfigurationError):  # of the environment, which nothing has needed so far
            return ""

    async def send_event(
        self,
        topic: KafkaTopics | str,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> RecordMetadata:
        """Publish any event as JSON and wait until every in-sync replica has it.

        Cancelling the await never un-sends: once queued, the event is delivered, and counted by ``stop()``. Cancelled
        while it waits for space in the local queue, it is never queued.

        Args:
            topic: Topic name.
            event: A mapping or a Pydantic model; Pydantic turns it into JSON. NaN and infinity become null.
            key: Decides the partition, by Java's murmur2; events of one key stay in order. Empty or None: no key.
            headers: Header names and values, text as UTF-8, besides the CloudEvents headers.
            event_id: Id of the event, the header ``ce_id``, by which a delivery worker drops duplicates: 1 to 128
                printable ASCII characters without spaces; a UUID of version 7 when None.
            expires_at: When a delivery worker gives the event up, as the header ``expires-at``; a naive one is UTC.

        Raises:
            KafkaError: One of :mod:`kafka_email.exceptions`.
            TypeError: The event, the key, a header, the id or the expiry is of a wrong type.
            ValueError: Kafka allows no such topic or header name, or the id is none.
            RuntimeError: No event loop of asyncio or uvloop runs.
            pydantic_core.PydanticSerializationError: Something in the event has no JSON form.
        """
        name = topic_name(topic)
        with sending(name) as span:
            own_headers, event_id = encode_headers(span.headers(headers), expires_at), checked_event_id(event_id)
            kind, own_key, producer = event_type(event, name), encode_key(key), self.native_producer()
            promise = producer.publish_mapping(name, own_key, event, kind, own_headers, event_id)
            if promise is None:
                promise = producer.publish(name, own_key, encode_event(event), kind, own_headers, event_id)
            stored = await promise
            span.acknowledge(stored)
            return stored

    def native_producer(self) -> PublishingProducer:
        """Return what the publishers of this package publish with.

        Raises:
            NotStartedError: ``start()`` was not called, or not in this process.
            ProducerClosedError: ``stop()`` was called.
        """
        producer = self._life.producer
        if producer is None:
            raise self._life.not_started()
        return producer

    def producer_by_itself(self) -> PublishingProducer:
        """Return what threads without an event loop publish with; the first call in a process opens the producer.

        Raises:
            AuthenticationError: The token provider failed.
            ConfigurationError: librdkafka refuses the configuration.
            ProducerClosedError: ``stop()`` was called.
            pydantic.ValidationError: The environment is not valid.
        """
        life = self._life
        if life.opens_by_itself:
            config = _default_config()
            if life.open_by_itself(config, fetch_token_in_thread(kafka_tokens(config))):
                _warn_if_unverified(config)
                message = f"started by the first publish: connecting in the background, {config.effective_servers}"
                _logging.log(logging.INFO, "started", message)
        producer = life.producer_by_itself
        if producer is None:
            raise life.not_started()
        return producer

    def replaced_by(self, stand_in: StandInT) -> AbstractContextManager[StandInT]:
        """Let publishers use a stand-in for the native producer inside a block; for ``kafka_email.testing``."""
        return self._life.replaced_by(stand_in)


def __getattr__(name: str) -> Any:
    """Pass on the default configuration, which is built when it is first used."""
    if name != "kafka_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kafka_email.config import kafka_config

    return kafka_config


def _default_config() -> KafkaConfig:
    # Read from this module, where tests may replace it.
    default: KafkaConfig = sys.modules[__name__].kafka_config
    return default


class _Assignable:
    """A value that tests may replace: the assigned one counts until the true one is assigned, as monkeypatch does."""

    def __init__(self) -> None:
        self._assigned: bool | None = None

    def read(self, truth: bool) -> bool:
        return truth if self._assigned is None else self._assigned

    def assign(self, value: bool, truth: bool) -> None:
        self._assigned = None if value == truth else value

    def reset(self) -> None:
        self._assigned = None


def _warn_if_unverified(config: KafkaConfig) -> None:
    if skips_verification(config.producer_options):
        message = "certificates or host names of brokers are not verified: anybody may pose as one (producer_options)"
        _logging.log(logging.WARNING, "tls_not_verified", message)


async def _stop(producer: PublishingProducer, timeout: timedelta) -> StopCounts:
    try:
        return await producer.stop(timeout)
    except OSError:
        # No descriptor is left to wake this loop with.
        return await _stop_in_thread(producer, timeout)


async def _stop_in_thread(producer: PublishingProducer, timeout: timedelta) -> StopCounts:
    counts: list[StopCounts | None] = []
    # Not `asyncio.to_thread`: the first use of it imports modules, which takes descriptors too.
    thread = threading.Thread(target=lambda: counts.append(producer.stop_and_wait(timeout, timeout + _STOP_PATIENCE)))
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110 - to be woken by the thread would take more code than this rare case is worth
        await asyncio.sleep(_STOP_POLL_S)
    return counts[0] or StopCounts(delivered=0, failed=producer.outstanding, elapsed_s=timeout.total_seconds())


def _duration(seconds: Any, default: float) -> timedelta:
    """Convert a timeout in seconds; return the default for what is no number: `stop()` and `health()` never raise."""
    try:
        # At most 30 days: larger values overflow on their way to librdkafka's milliseconds.
        return timedelta(seconds=float(min(max(0.0, seconds), _LONGEST_TIMEOUT_S)))
    except Exception:
        return timedelta(seconds=default)


kafka_manager = KafkaManager()
"""The manager of this process."""


async def _started() -> AsyncGenerator[KafkaManager, None]:
    await kafka_manager.start()
    yield kafka_manager


class _Started(AbstractAsyncContextManager[KafkaManager]):
    """What ``get_kafka_manager()`` returns: an asynchronous context manager, and a generator for FastAPI's ``Depends``.

    FastAPI looks behind the decorators of a dependency and drives the generator that it finds there.
    """

    def __init__(self) -> None:
        self._steps = _started()

    async def __aenter__(self) -> KafkaManager:
        return await anext(self._steps)

    async def __aexit__(self, *_: object) -> None:
        await self._steps.aclose()

    def __anext__(self) -> Awaitable[KafkaManager]:
        return self._steps.__anext__()

    def athrow(self, *error: Any) -> Awaitable[KafkaManager]:
        """Pass on an exception of the request."""
        return self._steps.athrow(*error)

    def aclose(self) -> Awaitable[None]:
        """End the generator."""
        return self._steps.aclose()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no {name!r} before it is entered: `async with get_kafka_manager() as manager:`")


@wraps(_started, assigned=())
def get_kafka_manager() -> AbstractAsyncContextManager[KafkaManager]:
    """Yield the manager, started if it was not; leave it running afterwards.

    FastAPI's ``Depends(get_kafka_manager)`` gives an endpoint the manager.

    Raises:
        KafkaError: As :meth:`KafkaManager.start`.
    """
    return _Started()
