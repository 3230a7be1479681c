"""What a configuration borrows from the variables of other programs."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kafka_email.config.origins import current_origins

_flags = TypeAdapter(bool)


def as_flag(value: object) -> bool | None:
    """Return the truth value that Pydantic reads in a value, or None if it reads none."""
    try:
        return _flags.validate_python(value.strip() if isinstance(value, str) else value)
    except ValidationError:
        return None


class Loan:
    """Values for the fields that neither an argument nor a variable of their own has set.

    Args:
        variables: The environment.
        given: The values that are set, by field.
    """

    def __init__(self, variables: Mapping[str, str | None], given: Mapping[str, Any]) -> None:
        self._variables = {name.upper(): text for name, text in variables.items() if text is not None}
        self._given = given
        self.values: dict[str, Any] = {}

    def value(self, field: str) -> Any:
        """Return the value that a field has so far, None if it has none."""
        return self._given.get(field, self.values.get(field))

    def text(self, variable: str) -> str | None:
        """Return what a variable contains, None if it is not set."""
        return self._variables.get(variable)

    def flag(self, variable: str, field: str) -> bool | None:
        """Return what a variable says, None if it is not set; one that is neither true nor false is an error."""
        text = self.text(variable)
        flag = as_flag(text)
        if text is not None and flag is None:
            current_origins().problems.append((field, f"{variable} must be true or false"))
        return flag

    def take(self, field: str, *variables: str) -> None:
        """Set a field that has no value from the first of the variables that is set."""
        for variable in variables:
            text = self.text(variable)
            if text is not None:
                self.set(field, text, variable)
                return

    def set(self, field: str, value: object, *variables: str) -> None:
        """Set a field that has no value; ``variables`` are those that decided it."""
        if field not in self._given and field not in self.values:
            self.values[field] = value
            current_origins().note_foreign(field, *variables)
