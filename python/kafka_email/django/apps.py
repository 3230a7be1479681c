"""The application that Django installs."""

from __future__ import annotations

from types import ModuleType

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed

from kafka_email.django import settings
from kafka_email.django.checks import check_setting


class KafkaEmailConfig(AppConfig):  # type: ignore[misc]
    """Lets the setting precede the environment, and registers its check."""

    name = "kafka_email.django"
    label = "kafka_email"
    verbose_name = "E-mail events"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        # Not in `ready()`: other applications may publish in theirs.
        settings.use()

    def ready(self) -> None:
        """Start nothing: servers fork after this. The first publish of each process does."""
        register(check_setting)
        setting_changed.connect(settings.use_changed)
