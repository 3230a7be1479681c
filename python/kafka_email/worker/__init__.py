"""The delivery worker: consumes the e-mail topics and delivers each mail by SMTP or by a handler."""

from kafka_email.config import SmtpConfig, WorkerConfig
from kafka_email.worker.event import Context, EmailEvent
from kafka_email.worker.mail import Attachment, Mail
from kafka_email.worker.outcomes import Drop, Permanent, Retry
from kafka_email.worker.report import DrainReport, Ending, WorkerHealth
from kafka_email.worker.worker import Worker

__all__ = [
    "Attachment",
    "Context",
    "DrainReport",
    "Drop",
    "EmailEvent",
    "Ending",
    "Mail",
    "Permanent",
    "Retry",
    "SmtpConfig",
    "Worker",
    "WorkerConfig",
    "WorkerHealth",
]
