"""E-mail events to Kafka from asyncio applications: awaited, validated and durably acknowledged."""

from typing import TYPE_CHECKING, Any

from kafka_email._core import RecordMetadata, __version__
from kafka_email.config import KafkaConfig
from kafka_email.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageTooLargeError,
    NotStartedError,
    ProducerClosedError,
    ProducerFatalError,
    QueueFullError,
    UnknownTopicError,
)
from kafka_email.health import KafkaHealth, StopReport
from kafka_email.manager import KafkaManager, get_kafka_manager, kafka_manager
from kafka_email.oauth import OAuthToken
from kafka_email.producers.base import BasePublisher
from kafka_email.producers.email_publisher import EmailPublisher
from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType
from kafka_email.topics import KafkaTopics

if TYPE_CHECKING:
    from kafka_email.config import kafka_config

__all__ = [
    "AuthenticationError",
    "AuthorizationError",
    "BasePublisher",
    "ConfigurationError",
    "EmailEventPayload",
    "EmailEventType",
    "EmailPublisher",
    "KafkaConfig",
    "KafkaConnectionError",
    "KafkaError",
    "KafkaHealth",
    "KafkaManager",
    "KafkaTimeoutError",
    "KafkaTopics",
    "MessageTooLargeError",
    "NotStartedError",
    "OAuthToken",
    "ProducerClosedError",
    "ProducerFatalError",
    "QueueFullError",
    "RecordMetadata",
    "StopReport",
    "UnknownTopicError",
    "__version__",
    "get_kafka_manager",
    "kafka_config",
    "kafka_manager",
]


def __getattr__(name: str) -> Any:
    """Pass on the default configuration, which is built when it is first used."""
    if name != "kafka_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kafka_email.config import kafka_config

    return kafka_config
