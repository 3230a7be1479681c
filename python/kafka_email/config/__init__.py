"""Configuration: where Kafka is, how to reach it and how events are sent; the delivery worker and its mail server.

Every field can come as an argument or as an environment variable: its name in capitals after ``KAFKA_``, ``SMTP_`` or
``KAFKA_WORKER_``.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kafka_email.config.kafka import KafkaConfig
from kafka_email.config.smtp import SmtpConfig
from kafka_email.config.worker import WorkerConfig
from kafka_email.topics import KafkaTopics

__all__ = ["KafkaConfig", "KafkaTopics", "SmtpConfig", "WorkerConfig", "kafka_config"]

if TYPE_CHECKING:
    kafka_config: KafkaConfig
    """The default instance."""


_default_arguments: Callable[[], Mapping[str, Any]] = dict


def take_defaults_from(arguments: Callable[[], Mapping[str, Any]]) -> None:
    """Let a framework give arguments to the default instance. For the integrations of this package.

    Args:
        arguments: Called when the default instance is first used. One that was built before is forgotten, so that the
            next use builds another.
    """
    global _default_arguments
    _default_arguments = arguments
    globals().pop("kafka_config", None)


def __getattr__(name: str) -> Any:
    """Build the default instance when it is first used.

    Not at the import: the environment may hold a variable that is not valid, and an application that passes its
    configuration by arguments has no use for it.
    """
    if name != "kafka_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, KafkaConfig(**_default_arguments()))
