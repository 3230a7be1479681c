"""The events as Pydantic models."""

from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType

__all__ = ["EmailEventPayload", "EmailEventType"]
