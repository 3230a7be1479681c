"""Assertions about the errors of `KafkaConfig`."""

from typing import Any

import pytest
from pydantic import ValidationError

from kafka_email.config import KafkaConfig


def assert_refused(**values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        KafkaConfig(**values)
    return caught.value


def wrong_fields(error: ValidationError) -> set[int | str]:
    return {line["loc"][0] for line in error.errors()}


def refused_fields(**values: Any) -> set[int | str]:
    return wrong_fields(assert_refused(**values))
