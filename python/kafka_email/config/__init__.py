"""Configuration: where Kafka is, how to reach it, and how events are sent.

Every field can come as an argument or as an environment variable: ``KAFKA_`` and the field's name in capitals.
"""

from typing import TYPE_CHECKING, Any

from kafka_email.config.kafka import KafkaConfig
from kafka_email.topics import KafkaTopics

__all__ = ["KafkaConfig", "KafkaTopics", "kafka_config"]

if TYPE_CHECKING:
    kafka_config: KafkaConfig
    """The default instance."""


def __getattr__(name: str) -> Any:
    """Build the default instance when it is first used.

    Not at the import: the environment may hold a variable that is not valid, and an application that passes its
    configuration by arguments has no use for it.
    """
    if name != "kafka_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, KafkaConfig())
