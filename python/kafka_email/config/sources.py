"""Where a configuration finds values besides its arguments."""

from collections.abc import Callable, Mapping, Set
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from kafka_email.config.loan import Loan
from kafka_email.config.origins import current_origins


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
        values = {name: value for name, value in self._source().items() if name in known}
        for name in values.keys() - self.current_state.keys():
            current_origins().note(name, variable_of(self.settings_cls, name))
        return values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Ask the source for one field (required by pydantic-settings)."""
        return self._source.get_field_value(field, field_name)


class ForeignVariables(PydanticBaseSettingsSource):
    """The variables of other programs, for the fields that no other source has set.

    Args:
        settings_cls: The class of the configuration.
        borrow: Takes what it can use.
        variables: The variables, by name in any case.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], borrow: Callable[[Loan], None], variables: Mapping[str, str | None]
    ) -> None:
        super().__init__(settings_cls)
        self._borrow = borrow
        self._variables = variables

    def __call__(self) -> dict[str, Any]:
        """Return the borrowed values, by field."""
        loan = Loan(self._variables, self.current_state)
        self._borrow(loan)
        return loan.values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return nothing: this source does not look at fields one by one (required by pydantic-settings)."""
        return None, field_name, False


def variable_of(settings_cls: type[BaseSettings], field: str) -> str:
    """Return the name of the environment variable of a field."""
    return f"{settings_cls.model_config.get('env_prefix', '')}{field}".upper()
