"""The publishers."""

from kafka_email.producers.base import BasePublisher
from kafka_email.producers.email_publisher import EmailPublisher

__all__ = ["BasePublisher", "EmailPublisher"]
