"""Where `KafkaConfig` finds values besides its arguments."""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

_ARGUMENT_ONLY = {"sasl_oauth_token_provider"}


class KnownFields(PydanticBaseSettingsSource):
    """A source (environment, .env file, folder of secrets) without what is no field: that belongs to others."""

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._source = source

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields.keys() - _ARGUMENT_ONLY
        return {name: value for name, value in self._source().items() if name in known}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Ask the source about one field (required by pydantic-settings)."""
        return self._source.get_field_value(field, field_name)
