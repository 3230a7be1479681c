"""Mails that are rendered instead of being sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka_email._core import RecordMetadata
from kafka_email.config import WorkerConfig
from kafka_email.config.mail_values import Address
from kafka_email.manager import kafka_manager
from kafka_email.testing.capture import CapturedEvents
from kafka_email.testing.mail import CapturedMail
from kafka_email.worker import Worker

if TYPE_CHECKING:
    from kafka_email._encoding import EncodedHeaders

__all__ = ["captured_mails"]


class _Config(WorkerConfig):
    """The configuration of the environment, which need not say who mails are from."""

    from_address: Address = "noreply@example.com"


class _RenderedEvents(CapturedEvents):
    """Renders the mail of each event that a worker would get."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.mails: list[CapturedMail] = []
        self._mailer = worker.native_mailer()
        self._topics = worker.config.native_settings(kafka_manager.email_topic)["topics"]
        self._handled_types = worker.handled_types

    def _record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        event_type: str,
        headers: EncodedHeaders,
        event_id: str | None,
    ) -> RecordMetadata:
        stored = super()._record(topic, key, value, event_type, headers, event_id)
        if topic in self._topics and event_type not in self._handled_types:
            self.mails.append(self._rendered(self.events[-1].value, event_type, stored.event_id))
        return stored

    def _rendered(self, event: Any, event_type: str, event_id: str) -> CapturedMail:
        if not isinstance(event, Mapping) or not isinstance(event.get("recipient"), str):
            raise ValueError("a worker would not take this for an e-mail event: it has no recipient")
        email_type = event.get("email_type") or event_type
        raw = self._mailer.render(
            email_type,
            event["recipient"],
            event.get("username", ""),
            event.get("link", ""),
            json.dumps(event.get("metadata", {})),
            event_id,
            int(time.time() * 1000),
        )
        return CapturedMail(email_type=email_type, recipient=event["recipient"], raw=raw)


@contextmanager
def captured_mails(worker: Worker | None = None) -> Iterator[list[CapturedMail]]:
    """Validate and render what is published, and send nothing; no ``start()`` and no mail server are needed.

    As in a ``capture_events()`` block, a producer that was running before is left alone. Where a worker would make a
    dead letter of an event, because its type has no template or the template fails, publishing it raises an error.
    Events of types that have a handler have no mail here: call the handler.

    Args:
        worker: The worker whose templates and configuration are used, which need not be started; one that is configured
            by the environment when None.

    Yields:
        The mails, in the order of publishing.

    Raises:
        ConfigurationError: A template has a mistake.
        pydantic.ValidationError: The environment is not valid.
    """
    with kafka_manager.replaced_by(_RenderedEvents(worker or Worker(_Config()))) as captured:
        yield captured.mails
