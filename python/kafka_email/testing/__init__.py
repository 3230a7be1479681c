"""Testing an application without Kafka and without a mail server: both inside the process, or no Kafka at all."""

from kafka_email.testing.broker import EmbeddedBroker, StoredRecord
from kafka_email.testing.capture import CapturedEvent, CapturedEvents, capture_events
from kafka_email.testing.capture_mails import captured_mails
from kafka_email.testing.mail import CapturedMail, ReceivedMail
from kafka_email.testing.sink import SmtpSink

__all__ = [
    "CapturedEvent",
    "CapturedEvents",
    "CapturedMail",
    "EmbeddedBroker",
    "ReceivedMail",
    "SmtpSink",
    "StoredRecord",
    "capture_events",
    "captured_mails",
]
