"""A Django application in one file that asks for e-mails through Kafka.

Start it with ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 gunicorn --preload --workers 2 examples.django_app:application``.
The worker that delivers is ``python -m examples.django_app kafka_email worker``.
"""

import secrets
import sys
from typing import Any

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import BaseModel, EmailStr, ValidationError

from kafka_email import KafkaError
from kafka_email.sync import EmailPublisher, kafka_manager

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["kafka_email.django"],
    MIDDLEWARE=[f"{__name__}.ErrorsAsAnswers"],
    ROOT_URLCONF=__name__,
    # Fields of `KafkaConfig`. The addresses, which are different everywhere, are left to the environment.
    KAFKA_EMAIL={"client_id": "shop", "request_timeout_ms": 10_000},
)


class Registration(BaseModel):
    email: EmailStr
    username: str


# When the call returns, every in-sync replica has the event: the answer may promise the e-mail.
def register(request: HttpRequest) -> JsonResponse:
    body = Registration.model_validate_json(request.body)
    link = f"https://shop.example.com/verify?token={secrets.token_urlsafe(16)}"
    stored = EmailPublisher().publish_verification_email(
        email=body.email, username=body.username, verification_link=link
    )
    return JsonResponse({"event_id": stored.event_id}, status=201)


def health(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok", "kafka": kafka_manager.is_connected})


class ErrorsAsAnswers:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> JsonResponse | None:
        match error:
            case ValidationError():
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                return JsonResponse(problems, safe=False, status=422)
            case KafkaError():
                answer = {"detail": "the e-mail could not be requested", "code": error.code}
                return JsonResponse(answer, status=503 if error.retriable else 500)
        return None


urlpatterns = [path("register", csrf_exempt(require_POST(register))), path("health", health)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
