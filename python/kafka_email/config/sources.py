"""Where a configuration finds values besides its arguments."""

from collections.abc import Set
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


class KnownFields(PydanticBaseSettingsSource):
    """A source (environment, .env file, folder of secrets) reduced to the fields of the configuration.

    The other variables belong to other programs: Kafka's own scripts read ``KAFKA_HEAP_OPTS``, for instance.

    Args:
        settings_cls: The class of the configuration.
        source: The source.
        excluded: Fields that this source must not set.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource, excluded: Set[str]
    ) -> None:
        super().__init__(settings_cls)
        self._source = source
        self._excluded = excluded

    def __call__(self) -> dict[str, Any]:
        """Return the values of the source, by field."""
        known = self.settings_cls.model_fields.keys() - self._excluded
        return {name: value for name, value in self._source().items() if name in known}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Ask the source for one field (required by pydantic-settings)."""
        return self._source.get_field_value(field, field_name)
