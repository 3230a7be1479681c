"""The manager of the one producer of a process, for code without an event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kafka_email import manager as asyncio_interface
from kafka_email._blocking import refuse_on_loop_thread, run
from kafka_email._core import Handle, RecordMetadata
from kafka_email._encoding import Headers, checked_event_id, encode_headers, encode_key
from kafka_email._tracing import sending
from kafka_email._validation import encode_event, event_type
from kafka_email.sync._settling import settle
from kafka_email.topics import KafkaTopics, topic_name

if TYPE_CHECKING:
    from kafka_email._producer import PublishingProducer
    from kafka_email.config import KafkaConfig
    from kafka_email.health import KafkaHealth, StopReport

__all__ = ["KafkaManager", "get_kafka_manager", "kafka_manager"]

_INSTEAD = "use `await kafka_email.kafka_manager`"
_INSTEAD_OF_SENDING = f"{_INSTEAD}, or `send_event_nowait`"


class KafkaManager:
    """Owner of the producer, as :class:`kafka_email.KafkaManager`, without ``await``.

    It is the same producer: ``kafka_email.kafka_manager`` and this one start, stop and see it together. Of a thread on
    which an event loop runs, methods that block raise RuntimeError before they do anything.
    """

    _instance: KafkaManager | None = None

    def __new__(cls) -> KafkaManager:
        """Return the one instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __reduce__(self) -> tuple[type[KafkaManager], tuple[()]]:
        return (KafkaManager, ())

    @property
    def config(self) -> KafkaConfig:
        """The configuration in use: the one given to ``start()``, or the default instance ``kafka_config``."""
        return _shared().config

    @property
    def email_topic(self) -> str:
        """Name of the topic of the e-mail events, from the configuration in use."""
        return _shared().email_topic

    def start(self, config: KafkaConfig | None = None) -> None:
        """Connect to Kafka. Not needed: the first publish of a process does it, in the background.

        Arguments and errors: as :meth:`kafka_email.KafkaManager.start`.
        """
        run(lambda: _shared().start(config), _INSTEAD)

    def stop(self, timeout: float | None = None) -> StopReport:
        """Refuse new events, flush within ``timeout`` seconds (10 when None), fail what is left, release everything.

        Afterwards no publish starts the producer by itself. Returns as :meth:`kafka_email.KafkaManager.stop`.
        """
        return run(lambda: _shared().stop(timeout), _INSTEAD)

    @property
    def is_connected(self) -> bool:
        """Whether the cluster has answered lately: as :attr:`kafka_email.KafkaManager.is_connected`."""
        return _shared().is_connected

    @is_connected.setter
    def is_connected(self, value: bool) -> None:
        _shared().is_connected = value

    @is_connected.deleter
    def is_connected(self) -> None:
        del _shared().is_connected

    def health(self, timeout: float = asyncio_interface._HEALTH_TIMEOUT_S) -> KafkaHealth:
        """Ask the cluster for its health, within ``timeout`` seconds: as :meth:`kafka_email.KafkaManager.health`."""
        return run(lambda: _shared().health(timeout), _INSTEAD)

    def send_event(
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

        The GIL is released meanwhile. An exception of a signal handler ends the wait: an event that is queued is
        delivered all the same. Arguments and errors: as :meth:`kafka_email.KafkaManager.send_event`.

        Raises:
            RuntimeError: An event loop runs in this thread.
        """
        refuse_on_loop_thread(_INSTEAD_OF_SENDING)
        name = topic_name(topic)
        with sending(name) as span:
            traced = span.headers(headers)
            stored = settle(self._call(name, event, key, traced, event_id, expires_at, may_wait=True))
            span.acknowledge(stored)
            return stored

    def send_event_nowait(
        self,
        topic: KafkaTopics | str,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        event_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Handle:
        """Publish any event as JSON and return its handle at once. Arguments: as :meth:`send_event`.

        Raises:
            QueueFullError: The local queue has no space.
        """
        name = topic_name(topic)
        with sending(name) as span:
            return self._call(name, event, key, span.headers(headers), event_id, expires_at, may_wait=False)

    def _call(
        self,
        topic: str,
        event: Mapping[str, Any] | BaseModel,
        key: str | bytes | None,
        headers: Headers | None,
        event_id: str | None,
        expires_at: datetime | None,
        *,
        may_wait: bool,
    ) -> Handle:
        encoded, event_id = encode_headers(headers, expires_at), checked_event_id(event_id)
        kind, own_key, producer = event_type(event, topic), encode_key(key), self.native_producer()
        handle = producer.call_mapping(topic, own_key, event, kind, encoded, event_id, may_wait)
        if handle is None:
            value = encode_event(event)
            handle = producer.call_encoded(topic, own_key, value, kind, encoded, event_id, may_wait)
        return handle

    def native_producer(self) -> PublishingProducer:
        """Return what the publishers of this package publish with, opened by the first call in a process.

        Raises:
            KafkaError: One of :mod:`kafka_email.exceptions`.
        """
        return _shared().producer_by_itself()


def _shared() -> asyncio_interface.KafkaManager:
    return asyncio_interface.kafka_manager


kafka_manager = KafkaManager()
"""The manager of this process."""


def _started() -> Iterator[KafkaManager]:
    kafka_manager.start()
    yield kafka_manager


def get_kafka_manager() -> AbstractContextManager[KafkaManager]:
    """Yield the manager in a ``with`` block, started if it was not; leave it running afterwards.

    Raises:
        KafkaError: As :meth:`KafkaManager.start`.
    """
    return contextmanager(_started)()
