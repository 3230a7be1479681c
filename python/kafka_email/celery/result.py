"""What ``delay`` returns, in the place of Celery's ``AsyncResult``."""

from __future__ import annotations

from collections.abc import Callable

from kafka_email._core import RecordMetadata
from kafka_email.celery.refused import refused, refused_attribute
from kafka_email.exceptions import KafkaError
from kafka_email.sync import Handle

__all__ = ["EmailResult"]

_NO_STATUS = (
    "the states are PENDING, STORED and FAILURE; whether the mail was sent is the worker's to know, see its log"
)


class EmailResult:
    """Whether Kafka has stored the event of a task. It says nothing about the mail: the worker sends that later.

    Args:
        event: Where the event is stored, or the handle of one that is on its way.
    """

    def __init__(self, event: RecordMetadata | Handle) -> None:
        self._event = event

    def __repr__(self) -> str:
        return f"<EmailResult: {self.id}>"

    @property
    def id(self) -> str:
        """The event id."""
        return self._event.event_id

    @property
    def task_id(self) -> str:
        """The event id."""
        return self._event.event_id

    @property
    def state(self) -> str:
        """``PENDING``, ``STORED`` or ``FAILURE``."""
        if not self.ready():
            return "PENDING"
        return "FAILURE" if self.failed() else "STORED"

    status = state

    def ready(self) -> bool:
        """Return whether the event is stored or has failed."""
        return isinstance(self._event, RecordMetadata) or self._event.done()

    def failed(self) -> bool:
        """Return whether the event has failed."""
        if isinstance(self._event, RecordMetadata):
            return False
        return self._event.done() and self._event.exception() is not None

    def get(self, timeout: float | None = None) -> RecordMetadata:
        """Wait until the event is stored, and return where.

        Args:
            timeout: Seconds to wait; None waits until the deadline of the publish.

        Raises:
            KafkaError: The event has failed.
            TimeoutError: It was not stored within ``timeout``; it still may be later.
            RuntimeError: The event is not stored yet, and an event loop runs in this thread.
        """
        return self._event if isinstance(self._event, RecordMetadata) else self._event.result(timeout)

    def forget(self) -> None:
        """Do nothing: no backend holds a result."""

    def when_failed(self, call: Callable[[KafkaError], None]) -> None:
        """Call ``call`` with the error if the event fails: later, in the thread of callbacks."""
        if isinstance(self._event, RecordMetadata):
            return

        def look(handle: Handle) -> None:
            error = handle.exception()
            if isinstance(error, KafkaError):
                call(error)

        self._event.add_done_callback(look)

    successful = refused("successful()", _NO_STATUS)
    revoke = refused("revoke()", "an event that is published cannot be taken back; give it an expiry, `expires`")
    then = refused("then()", "follow-up work is done by a second consumer group of the topic")
    children = refused_attribute("children", "tasks publish no further tasks")
