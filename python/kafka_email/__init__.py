"""E-mail events to Kafka from asyncio applications: awaited, validated and durably acknowledged."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kafka_email._core import RecordMetadata, __version__
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
from kafka_email.topics import KafkaTopics

if TYPE_CHECKING:
    from kafka_email.config import KafkaConfig, kafka_config
    from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType

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

# Their modules need Pydantic's models, which take several times as long to import as everything else.
_LATER = {
    "KafkaConfig": "kafka_email.config",
    "kafka_config": "kafka_email.config",
    "EmailEventPayload": "kafka_email.schemas.email_events",
    "EmailEventType": "kafka_email.schemas.email_events",
}


def __getattr__(name: str) -> Any:
    """Import what is used for the first time."""
    if name in ("config", "schemas"):
        return import_module(f"kafka_email.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'kafka_email' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value
