"""The delivery worker: consumes the e-mail topics and delivers each mail by SMTP."""

from kafka_email.config import SmtpConfig, WorkerConfig

__all__ = ["SmtpConfig", "WorkerConfig"]
