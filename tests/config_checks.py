"""What the tests of KafkaConfig ask of its errors."""

import pytest
from pydantic import ValidationError

from kafka_email.config import KafkaConfig


def assert_refused(**values) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        KafkaConfig(**values)
    return caught.value


def wrong_fields(error: ValidationError) -> set[int | str]:
    return {line["loc"][0] for line in error.errors()}


def refused_fields(**values) -> set[int | str]:
    return wrong_fields(assert_refused(**values))
