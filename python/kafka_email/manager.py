"""The life of the one producer of a process: start, publish, health, stop."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kafka_email import _core, _journal
from kafka_email._encoding import Headers, encode_headers, encode_key
from kafka_email._token import NativeToken, TokenRefresher, fetch_token
from kafka_email._tracing import sending
from kafka_email.exceptions import KafkaError, NotStartedError, ProducerClosedError
from kafka_email.health import KafkaHealth, StopReport
from kafka_email.topics import KafkaTopics, topic_name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kafka_email.config import KafkaConfig

__all__ = ["KafkaManager", "get_kafka_manager", "kafka_manager"]

_STOP_TIMEOUT_S = 10.0
_EXIT_PATIENCE = timedelta(seconds=3)


class KafkaManager:
    """Owner of the producer. There is one for each process: ``KafkaManager() is kafka_manager``.

    Publishing works from any number of asyncio or uvloop event loops and threads, whichever one called ``start()``.
    """

    _instance: KafkaManager | None = None

    def __new__(cls) -> KafkaManager:
        """Return the one instance."""
        if cls._instance is None:
            manager = super().__new__(cls)
            manager._reset()
            cls._instance = manager
        return cls._instance

    def __reduce__(self) -> tuple[type[KafkaManager], tuple[()]]:
        return (KafkaManager, ())

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._config: KafkaConfig | None = None
        self._email_topic: str | None = None
        # What publishers publish with; None before the start and after the stop.
        self._producer: _core.Producer | None = None
        self._opening: _core.Producer | None = None
        self._starters = 0
        self._was_stopped = False
        self._tokens: TokenRefresher | None = None
        self._pretended: bool | None = None

    @property
    def config(self) -> KafkaConfig:
        """The configuration in use: the one given to ``start()``, or the default instance ``kafka_config``."""
        return self._config or self._default_config()

    @property
    def email_topic(self) -> str:
        """Name of the topic of the e-mail events, by the configuration in use."""
        return self._email_topic or topic_name(self.config.email_topic)

    @staticmethod
    def _default_config() -> KafkaConfig:
        # Imported when it is needed: the configuration takes most of the time that importing all of it would take.
        from kafka_email.config import kafka_config

        return kafka_config

    async def start(self, config: KafkaConfig | None = None) -> None:
        """Connect to Kafka. Does nothing when connected already; concurrent calls connect once.

        Up to ``max_connection_retries`` attempts, with pauses that begin at ``retry_delay_seconds`` and double, up to
        30 s. With ``KafkaConfig.required=False`` a cluster out of reach is logged and connected to in the background.

        Cancelling it takes effect at once and leaves nothing behind.

        Args:
            config: The configuration; ``kafka_config`` when not given.

        Raises:
            KafkaConnectionError: No broker answered; names each broker and the cause. At once for a failed TLS
                handshake.
            AuthenticationError: The credentials were not accepted; at once, without retries.
            ConfigurationError: librdkafka refuses the configuration; at once.
        """
        chosen = config or self._default_config()
        if self._is_started(chosen):
            return
        import_module("kafka_email._validation")
        token = await fetch_token(chosen)
        producer = self._join_start(chosen, token)
        if producer is None:
            return
        try:
            await producer.started()
        except BaseException:
            self._leave_start(producer)
            raise
        self._finish_start(producer, chosen)

    def _is_started(self, config: KafkaConfig) -> bool:
        with self._lock:
            self._forget_inherited()
            producer = self._producer
        if isinstance(producer, _core.Producer) and config != self.config:
            message = "already started: the other configuration takes effect after stop() and start()"
            _journal.say(logging.WARNING, "already_started", message)
        return producer is not None

    def _join_start(self, config: KafkaConfig, token: NativeToken | None) -> _core.Producer | None:
        """Return the producer that is being opened, opening it if need be; None when another call was faster."""
        with self._lock:
            if self._producer is not None:
                return None
            if self._opening is None:
                log_native = _journal.librdkafka.isEnabledFor(logging.DEBUG)
                self._opening = _core.Producer(config.native_settings(), log_native, token)
                self._starters = 0
            self._starters += 1
            return self._opening

    def _leave_start(self, producer: _core.Producer) -> None:
        """Give the producer up when the last one who waited for it is gone."""
        with self._lock:
            if self._opening is not producer:
                return
            self._starters -= 1
            if self._starters == 0:
                self._opening = None
                producer.abandon()

    def _finish_start(self, producer: _core.Producer, config: KafkaConfig) -> None:
        with self._lock:
            if self._opening is not producer:
                return  # another caller was first, or stop() was called meanwhile
            self._opening = None
            self._producer, self._config, self._was_stopped = producer, config, False
            self._email_topic = topic_name(config.email_topic)
            if config.sasl_oauth_token_provider is not None:
                self._tokens = TokenRefresher(producer, config.sasl_oauth_token_provider)
        _warn_if_unverified(config)
        state = "connected" if producer.is_connected else "connecting in the background"
        _journal.say(logging.INFO, "started", f"started: {state}, {config.bootstrap_servers_string}")

    async def stop(self, timeout: float | None = None) -> StopReport:
        """Refuse new events, flush within ``timeout`` seconds (10 when None), fail what is left, release everything.

        Never raises and never blocks the loop. Without a start, or the second time, it does nothing. Cancelling the
        await does not keep the producer open: it goes on in the background.

        Returns:
            What became of the events that were under way.
        """
        with self._lock:
            self._forget_inherited()
            producer, self._producer = self._producer, None
            opening, self._opening = self._opening, None
            tokens, self._tokens = self._tokens, None
            self._was_stopped = self._was_stopped or producer is not None
        if opening is not None:
            opening.abandon()
        if tokens is not None:
            tokens.cancel()
        if producer is None:
            return StopReport(delivered=0, failed=0, elapsed_s=0.0)
        report = StopReport(*await producer.stop(_duration(_STOP_TIMEOUT_S if timeout is None else timeout)))
        level = logging.WARNING if report.failed else logging.INFO
        outcome = f"{report.delivered} events delivered, {report.failed} failed"
        _journal.say(level, "stopped", f"stopped after {report.elapsed_s:.3f} s: {outcome}")
        _core.release_mailboxes()
        return report

    @property
    def is_connected(self) -> bool:
        """Whether the cluster answered lately: false within 10 s of its going away, true within 10 s of its return.

        No I/O. Assigning to it overrides the truth, for tests; assigning the truth ends that.
        """
        return self._connected() if self._pretended is None else self._pretended

    @is_connected.setter
    def is_connected(self, pretended: bool) -> None:
        self._pretended = None if pretended == self._connected() else pretended

    @is_connected.deleter
    def is_connected(self) -> None:
        self._pretended = None

    def _connected(self) -> bool:
        producer = self._producer
        return producer is not None and producer.is_connected

    async def health(self, timeout: float = 2.0) -> KafkaHealth:
        """Ask the cluster how it is, within ``timeout`` seconds.

        Never raises. Concurrent calls share one question to the cluster.
        """
        producer = self._producer
        if producer is None:
            return self._health(last_error=str(self._not_started()))
        try:
            answer = await producer.health(_duration(timeout))
        except KafkaError as error:
            return self._health(last_error=str(error))
        return self._health(*answer)

    def _health(
        self,
        healthy: bool = False,
        brokers: int = 0,
        latency_ms: float | None = None,
        queued: int = 0,
        in_flight: int = 0,
        last_error: str | None = None,
    ) -> KafkaHealth:
        topic, version = self.config.email_topic, _core.librdkafka_version()
        return KafkaHealth(healthy, brokers, topic, latency_ms, queued, in_flight, last_error, version)

    async def send_event(
        self,
        topic: KafkaTopics | str,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
    ) -> _core.RecordMetadata:
        """Publish any event as JSON and wait until every in-sync replica has it.

        Cancelling the await never un-sends: once queued, the event is delivered, and counted by ``stop()``. Cancelled
        while it waits for space in the local queue, it is never queued.

        Args:
            topic: Topic name.
            event: A mapping, or a Pydantic model, which is dumped in JSON mode.
            key: Decides the partition, by Java's murmur2; events of one key stay in order. Empty or None: no key.
            headers: Header names and values, text as UTF-8, besides the CloudEvents headers.

        Raises:
            KafkaError: One of :mod:`kafka_email.exceptions`.
            TypeError: The event, the key or a header is of a wrong type.
            ValueError: Kafka allows no such topic or header name.
            pydantic_core.PydanticSerializationError: Something in the event has no JSON form.
        """
        from kafka_email._validation import encode_event, event_type

        name = topic_name(topic)
        with sending(name) as span:
            value, own_headers = encode_event(event), encode_headers(span.headers(headers))
            kind = event_type(event, name)
            stored = await self.native_producer().publish(name, encode_key(key), value, kind, own_headers)
            span.acknowledge(stored)
            return stored

    def native_producer(self) -> _core.Producer:
        """Return what the publishers of this package publish with.

        Raises:
            NotStartedError: ``start()`` was not called, or not in this process.
            ProducerClosedError: ``stop()`` was called.
        """
        producer = self._producer
        if producer is None:
            raise self._not_started()
        return producer

    @contextmanager
    def replaced_by(self, stand_in: Any) -> Iterator[Any]:
        """Let publishers use something else than the native producer for a while; for ``kafka_email.testing``."""
        with self._lock:
            producer, self._producer = self._producer, stand_in
        try:
            yield stand_in
        finally:
            with self._lock:
                self._producer = producer

    def _not_started(self) -> KafkaError:
        if self._was_stopped:
            message = "the producer is stopped: call `await kafka_manager.start()` before publishing"
            return ProducerClosedError(message, code="PRODUCER_CLOSED")
        message = "Kafka is not started: call `await kafka_manager.start()` (in the lifespan, say) before publishing"
        return NotStartedError(message, code="NOT_STARTED")

    def _forget_inherited(self) -> None:
        """Drop what a parent process started: its threads are not here."""
        for producer in (self._producer, self._opening):
            if producer is not None and producer.is_inherited:
                self._producer = self._opening = self._tokens = None

    def _after_fork(self) -> None:
        # Another thread of the parent may have held it.
        self._lock = threading.Lock()
        _core.forget_inherited()

    def _flush_at_exit(self) -> None:
        producer = self._producer
        if producer is None or producer.is_inherited:
            return
        outstanding = producer.outstanding
        timeout = timedelta(milliseconds=self.config.exit_flush_timeout_ms)
        report = producer.stop_and_wait(timeout, timeout + _EXIT_PATIENCE)
        lost = outstanding if report is None else report[1]
        if lost:
            message = f"{lost} events were lost at the exit of the process: await kafka_manager.stop() before it ends"
            _journal.say(logging.WARNING, "lost_at_exit", message)


def _warn_if_unverified(config: KafkaConfig) -> None:
    from kafka_email._producer_options import skips_verification

    if skips_verification(config.producer_options):
        message = "certificates or host names of brokers are not verified: anybody may pose as one (producer_options)"
        _journal.say(logging.WARNING, "tls_not_verified", message)


def _duration(seconds: float) -> timedelta:
    # For ever is a month: a number that no clock along the way overflows at.
    return timedelta(seconds=min(max(0.0, seconds), 30 * 86_400.0))


kafka_manager = KafkaManager()
"""The manager of this process."""

atexit.register(kafka_manager._flush_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=kafka_manager._after_fork)


@asynccontextmanager
async def get_kafka_manager() -> AsyncIterator[KafkaManager]:
    """Yield the manager, started if it was not; leave it running afterwards.

    Raises:
        KafkaError: As :meth:`KafkaManager.start`.
    """
    await kafka_manager.start()
    yield kafka_manager
