"""Assertions about the errors of the configurations."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from kafka_email.config import KafkaConfig


def refusal_of(make: Callable[..., Any], **values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        make(**values)
    return caught.value


def assert_refused(**values: Any) -> ValidationError:
    return refusal_of(KafkaConfig, **values)


def wrong_fields(error: ValidationError) -> set[int | str]:
    return {line["loc"][0] for line in error.errors()}


def refused_fields(**values: Any) -> set[int | str]:
    return wrong_fields(assert_refused(**values))
