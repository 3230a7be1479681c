"""A task of kafka-email in the place of Celery's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka_email import KafkaConfig
from kafka_email.celery import EmailResult, email_task
from kafka_email.sync import kafka_manager


@contextmanager
def opened(
    servers: str, topic: str, waits: bool = True, **settings: Any
) -> Iterator[tuple[Callable[..., Any], Callable[[], Any]]]:
    """Settings: whether `delay` waits, and the fields of `KafkaConfig`."""
    kafka_manager.start(KafkaConfig(bootstrap_servers=servers, email_topic=topic, **settings))
    results = list[EmailResult]()

    @email_task("verification", wait=waits)
    def user_verify_mail_event(email: str, username: str, link: str) -> None:
        """Publishes an event."""

    def publish(email: str, username: str, link: str) -> None:
        results.append(user_verify_mail_event.delay(email, username, link))

    def settle() -> None:
        for result in results:
            result.get()

    yield user_verify_mail_event.delay if waits else publish, settle
    kafka_manager.stop()
