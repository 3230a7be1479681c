"""A Flask application that asks for e-mails through Kafka.

Start it with ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 gunicorn --workers 2 examples.flask_app:app``.
"""

import secrets
from typing import Annotated, Any

from flask import Flask, request
from pydantic import BaseModel, EmailStr, Field, ValidationError

from kafka_email import KafkaError
from kafka_email.sync import EmailPublisher, kafka_manager

# Nothing starts the producer: the first publish of each of gunicorn's workers does, and their end flushes.
app = Flask(__name__)


class Registration(BaseModel):
    email: EmailStr
    username: Annotated[str, Field(pattern=r"^[\w .-]{1,50}$")]


# When the call returns, every in-sync replica has the event: the answer may promise the e-mail.
@app.post("/register")
def register() -> tuple[dict[str, str], int]:
    body = Registration.model_validate_json(request.data)
    link = f"https://shop.example.com/verify?token={secrets.token_urlsafe(16)}"
    stored = EmailPublisher().publish_verification_email(
        email=body.email, username=body.username, verification_link=link
    )
    return {"event_id": stored.event_id}, 201


@app.errorhandler(ValidationError)
def invalid(error: ValidationError) -> tuple[list[Any], int]:
    return list(error.errors(include_url=False, include_context=False, include_input=False)), 422


# What a publish can fail with has one base class, which says whether trying again may help.
@app.errorhandler(KafkaError)
def email_service_unavailable(error: KafkaError) -> tuple[dict[str, Any], int]:
    answer = {"detail": "the e-mail could not be requested", "code": error.code, "retriable": error.retriable}
    return answer, 503 if error.retriable else 500


# Not an error before the first publish: a server that waits for a healthy Kafka would never get the request that
# starts the producer.
@app.get("/health")
def health() -> dict[str, Any]:
    return {"status": "ok", "kafka": kafka_manager.is_connected}
