"""kafka-email without an event loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka_email import KafkaConfig
from kafka_email.sync import EmailPublisher, Handle, kafka_manager


@contextmanager
def opened(
    servers: str, topic: str, waits: bool = True, **settings: Any
) -> Iterator[tuple[Callable[..., Any], Callable[[], Any]]]:
    """Settings: whether a publish waits, and the fields of `KafkaConfig`."""
    kafka_manager.start(KafkaConfig(bootstrap_servers=servers, email_topic=topic, **settings))
    publisher, handles = EmailPublisher(), list[Handle]()

    def publish(email: str, username: str, link: str) -> None:
        handles.append(publisher.publish_verification_email_nowait(email, username, link))

    def settle() -> None:
        for handle in handles:
            handle.result()

    yield publisher.publish_verification_email if waits else publish, settle
    kafka_manager.stop()
