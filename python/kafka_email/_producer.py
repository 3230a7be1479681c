"""What publishers need of a producer: the native one has it, and so has whatever takes its place in a test."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from datetime import timedelta

    from kafka_email._core import Batch, Gauges, Handle, Health, RecordMetadata, StopCounts, Token
    from kafka_email._encoding import EncodedHeaders
    from kafka_email.exceptions import KafkaError

T_co = TypeVar("T_co", covariant=True)


class Promise(Protocol[T_co]):
    """The result of a publish, which arrives later. It belongs to the event loop that is running when it is made."""

    def __await__(self) -> Generator[Any, None, T_co]:
        """Wait for the result."""

    def cancel(self) -> bool:
        """Stop waiting. An event that is queued already is delivered all the same."""


class PublishingProducer(Protocol):
    """A producer: implemented by ``kafka_email._core.Producer``, and by ``kafka_email.testing.CapturedEvents``."""

    @property
    def is_connected(self) -> bool:
        """Whether the cluster has answered lately. No I/O."""

    @property
    def has_failed(self) -> bool:
        """Whether it was opened by itself and every broker refused it, so that nothing is tried any more."""

    @property
    def max_event_bytes(self) -> int:
        """How many bytes an event may have."""

    @property
    def outstanding(self) -> int:
        """How many events are neither delivered nor failed."""

    def publish_email(
        self,
        topic: str,
        email_type: str,
        recipient: object,
        username: object,
        link: object,
        metadata: object,
        headers: EncodedHeaders,
        event_id: str | None,
        /,
    ) -> Promise[RecordMetadata] | None:
        """Publish an e-mail event that is certainly valid. None: Pydantic has to decide, nothing was published."""

    def publish_mapping(
        self,
        topic: str,
        key: bytes | None,
        event: object,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
        /,
    ) -> Promise[RecordMetadata] | None:
        """Publish a mapping that Pydantic is certain to encode unchanged. None: it has to, nothing was published."""

    def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
        /,
    ) -> Promise[RecordMetadata]:
        """Publish an encoded event."""

    def publish_batch(
        self, topic: str, batch: Batch, first: int, count: int, headers: EncodedHeaders, /
    ) -> Promise[list[RecordMetadata | KafkaError]]:
        """Publish ``count`` events of a batch, beginning with the one at the index ``first``."""

    def call_email(
        self,
        topic: str,
        email_type: str,
        recipient: object,
        username: object,
        link: object,
        metadata: object,
        headers: EncodedHeaders,
        event_id: str | None,
        may_wait: bool,
        /,
    ) -> Handle | None:
        """As ``publish_email``, without an event loop. ``may_wait``: the event may wait for space in the queue."""

    def call_mapping(
        self,
        topic: str,
        key: bytes | None,
        event: object,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
        may_wait: bool,
        /,
    ) -> Handle | None:
        """As ``publish_mapping``, without an event loop."""

    def call_encoded(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
        may_wait: bool,
        /,
    ) -> Handle:
        """As ``publish``, without an event loop."""

    def call_batch(self, topic: str, batch: Batch, headers: EncodedHeaders, may_wait: bool, /) -> list[Handle]:
        """Publish all events of a batch without an event loop; refused ones have failed handles."""

    def started(self) -> Awaitable[None]:
        """Wait until the producer is connected, or connects in the background."""

    def health(self, timeout: timedelta, /) -> Awaitable[Health]:
        """Ask the cluster for its health, within ``timeout``."""

    def stop(self, timeout: timedelta, /) -> Awaitable[StopCounts]:
        """Flush within ``timeout``, fail the events that are left, and release everything."""

    def stop_and_wait(self, timeout: timedelta, patience: timedelta, /) -> StopCounts | None:
        """As ``stop``, but blocking, for the exit of the process. None: it took longer than ``patience``."""

    def abandon(self) -> None:
        """Close at once and release everything in the background."""

    def gauges(self) -> Gauges:
        """Return the state of the queue and of the connections."""

    def set_token(self, token: Token, /) -> None:
        """Replace the OAUTHBEARER token."""
