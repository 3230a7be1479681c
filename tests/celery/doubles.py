"""A publisher that records what it is given, and settles its handles when a test says so."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from kafka_email import KafkaError, KafkaTopics, RecordMetadata


@dataclass
class Publication:
    """One publish: which method, and its arguments."""

    way: str
    topic: str | None
    email_type: str
    fields: dict[str, Any]
    options: dict[str, Any]


class FakeHandle:
    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.future: Future[RecordMetadata] = Future()
        self.done = self.future.done
        self.result = self.future.result
        self.exception = self.future.exception

    def add_done_callback(self, call: Callable[["FakeHandle"], None]) -> None:
        self.future.add_done_callback(lambda _: call(self))


@dataclass
class FakePublishers:
    """Stands in for the publishers of both interfaces."""

    published: list[Publication] = field(default_factory=list)
    handles: list[FakeHandle] = field(default_factory=list)
    error: KafkaError | None = None
    refusal: Exception | None = None
    holds: bool = False

    def fail_with(self, error: KafkaError) -> None:
        """Let each event fail: at its end, where it is not waited for."""
        self.error = error

    def refuse_with(self, error: Exception) -> None:
        """Let each publish raise, also where it does not wait."""
        self.refusal = error

    def hold(self) -> None:
        """Let handles stay pending until `settle`."""
        self.holds = True

    def settle(self) -> None:
        for handle in self.handles:
            self._settle(handle)

    def _settle(self, handle: FakeHandle) -> None:
        if self.error is not None:
            handle.future.set_exception(self.error)
        else:
            handle.future.set_result(self._stored(handle.event_id))

    def _stored(self, event_id: str) -> RecordMetadata:
        return RecordMetadata("t", partition=0, offset=len(self.published), timestamp_ms=0, event_id=event_id)

    def add(self, way: str, topic: str | None, email_type: str, fields: dict[str, Any], options: dict[str, Any]) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.published.append(Publication(way, topic, email_type, fields, options))
        return options["event_id"] or f"event-{len(self.published)}"

    def wait(self, *call: Any) -> RecordMetadata:
        event_id = self.add(*call)
        if self.error is not None:
            raise self.error
        return self._stored(event_id)

    def queue(self, *call: Any) -> FakeHandle:
        handle = FakeHandle(self.add(*call))
        self.handles.append(handle)
        if not self.holds:
            self._settle(handle)
        return handle

    def blocking(self, topic: KafkaTopics | str | None = None) -> Any:
        return _Blocking(self, topic)

    def asynchronous(self, topic: KafkaTopics | str | None = None) -> Any:
        return _Asynchronous(self, topic)


@dataclass
class _Blocking:
    publishers: FakePublishers
    topic: str | None

    def publish_email(self, email_type, email, username="", link="", metadata=None, **options):
        fields = {"email": email, "username": username, "link": link, "metadata": metadata}
        return self.publishers.wait("waits", self.topic, email_type, fields, options)

    def publish_email_nowait(self, email_type, email, username="", link="", metadata=None, **options):
        fields = {"email": email, "username": username, "link": link, "metadata": metadata}
        return self.publishers.queue("queues", self.topic, email_type, fields, options)


@dataclass
class _Asynchronous:
    publishers: FakePublishers
    topic: str | None

    async def publish_email(self, email_type, email, username="", link="", metadata=None, **options):
        fields = {"email": email, "username": username, "link": link, "metadata": metadata}
        return self.publishers.wait("awaits", self.topic, email_type, fields, options)


class OldTask:
    """A Celery task: records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error: Exception | None = None

    def _record(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if self.error is not None:
            raise self.error
        self.calls.append((method, args, kwargs))
        return "old result"

    def delay(self, *args, **kwargs):
        return self._record("delay", args, kwargs)

    def apply_async(self, args=None, kwargs=None, **options):
        return self._record("apply_async", (args, kwargs), options)

    def apply(self, args=None, kwargs=None, **options):
        return self._record("apply", (args, kwargs), options)

    def __call__(self, *args, **kwargs):
        return self._record("call", args, kwargs)
