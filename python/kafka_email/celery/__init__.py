"""Celery's call sites, kept: ``task.delay(…)`` publishes an e-mail event to Kafka. Celery itself is never imported.

::

    @email_task("verification")
    def user_verify_mail_event(recipient: str, link: str, username: str): ...


    user_verify_mail_event.delay(user.email, link, user.username)
"""

from kafka_email.celery.decorator import email_task
from kafka_email.celery.fields import EmailFields
from kafka_email.celery.move import Moving, moving
from kafka_email.celery.result import EmailResult
from kafka_email.celery.task import EmailTask
from kafka_email.exceptions import KafkaError

OperationalError = KafkaError
"""What ``delay`` raises, under the name that handlers of Celery's errors know."""

__all__ = ["EmailFields", "EmailResult", "EmailTask", "Moving", "OperationalError", "email_task", "moving"]
