"""The setting ``KAFKA_EMAIL``: arguments of the default configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from kafka_email.config import take_defaults_from
from kafka_email.exceptions import ConfigurationError

SETTING = "KAFKA_EMAIL"


def arguments() -> Mapping[str, Any]:
    """Return the fields that the setting gives.

    Raises:
        ConfigurationError: It is not a dictionary with names of fields.
    """
    given = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        message = f"{SETTING} must be a dictionary whose keys are names of fields of kafka_email.KafkaConfig"
        raise ConfigurationError(message, code="INVALID_CONFIG")
    return given


def use() -> None:
    """Let the setting precede the environment; it is read when the default configuration is first used."""
    take_defaults_from(arguments)


def use_changed(*, setting: str, **_: Any) -> None:
    """Read the setting again after a test has changed it (the signal ``setting_changed``)."""
    if setting == SETTING:
        use()
