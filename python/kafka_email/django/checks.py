"""What ``manage.py check`` says about the setting."""

from __future__ import annotations

from typing import Any

from django.core.checks import Error
from pydantic import ValidationError

from kafka_email.config import KafkaConfig
from kafka_email.django.settings import SETTING, arguments
from kafka_email.exceptions import ConfigurationError


def check_setting(**_: Any) -> list[Error]:
    """Return an error for each field that is wrong, in the setting or in the environment; none shows a value."""
    try:
        KafkaConfig(**arguments())
    except ConfigurationError as error:
        return [Error(str(error), id="kafka_email.E002")]
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        return [_error(".".join(map(str, problem["loc"])), problem["msg"]) for problem in problems]
    return []


def _error(field: str, message: str) -> Error:
    return Error(f"{SETTING}: {field}: {message}", id="kafka_email.E001")
