"""Testing an application without Kafka: a broker inside the process, or no broker at all."""

from kafka_email.testing.broker import EmbeddedBroker, StoredRecord
from kafka_email.testing.capture import CapturedEvent, CapturedEvents, capture_events

__all__ = ["CapturedEvent", "CapturedEvents", "EmbeddedBroker", "StoredRecord", "capture_events"]
