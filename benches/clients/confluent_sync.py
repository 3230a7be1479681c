"""confluent-kafka's `Producer` without an event loop: `produce` and `flush`, or a callback and `poll(0)`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaException, Producer

from benches.clients.payload import encoded, unchecked

FULL_POLL_S = 0.1


@contextmanager
def opened(
    servers: str, topic: str, properties: dict[str, Any], waits: bool = True, checks: bool = True
) -> Iterator[tuple[Callable[..., Any], Callable[[], Any]]]:
    """Settings: librdkafka's properties, whether a publish waits, and whether the Pydantic model checks the event."""
    producer = Producer({"bootstrap.servers": servers, **properties})
    encode, errors = encoded if checks else unchecked, list[Any]()

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            errors.append(error)

    def publish_and_flush(email: str, username: str, link: str) -> None:
        producer.produce(topic, encode(email, username, link), email.encode(), on_delivery=delivered)
        settle()

    def publish(email: str, username: str, link: str) -> None:
        value, key = encode(email, username, link), email.encode()
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=delivered)
            except BufferError:
                producer.poll(FULL_POLL_S)
            else:
                producer.poll(0)
                return

    def settle() -> None:
        producer.flush()
        if errors:
            raise KafkaException(errors[0])

    yield publish_and_flush if waits else publish, settle
    producer.flush()
