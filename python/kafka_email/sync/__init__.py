"""E-mail events to Kafka from code without an event loop: the names of ``kafka_email``, blocking.

``def`` endpoints, views, scripts, cron jobs and threads use the same producer as coroutines do, whoever started it; the
first publish of a process starts it. Each publish has a form that ends in ``_nowait`` and returns a handle at once.
"""

from kafka_email._core import Handle
from kafka_email.sync.base import BasePublisher
from kafka_email.sync.email_publisher import EmailPublisher
from kafka_email.sync.manager import KafkaManager, get_kafka_manager, kafka_manager

__all__ = ["BasePublisher", "EmailPublisher", "Handle", "KafkaManager", "get_kafka_manager", "kafka_manager"]
