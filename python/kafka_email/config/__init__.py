"""Configuration: where Kafka is, how to reach it, and how events are sent.

Every field can come as an argument or as an environment variable: ``KAFKA_`` and the field's name in capitals.
"""

from kafka_email.config.kafka import KafkaConfig
from kafka_email.topics import KafkaTopics

__all__ = ["KafkaConfig", "KafkaTopics", "kafka_config"]

kafka_config = KafkaConfig()
"""The default instance, read from the environment when this module is imported."""
