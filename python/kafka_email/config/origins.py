"""Which variable gave a configuration which value: for its errors, and for a log line that names variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kafka_email.config.errors import Problem


class Origins:
    """The variables that one configuration is read from: names, never values.

    Attributes:
        problems: What is wrong with variables of other programs.
    """

    def __init__(self) -> None:
        self._own: dict[str, str] = {}
        self._foreign: dict[str, tuple[str, ...]] = {}
        self.problems: list[Problem] = []

    @property
    def foreign(self) -> tuple[str, ...]:
        """The variables of other programs that were used, in alphabetical order."""
        return tuple(sorted({name for names in self._foreign.values() for name in names}))

    def note(self, field: str, variable: str) -> None:
        """Remember that the configuration's own variable gave a field its value."""
        self._own.setdefault(field, variable)

    def note_foreign(self, field: str, *variables: str) -> None:
        """Remember that variables of another program decided about a field."""
        self._foreign[field] = (*self._foreign.get(field, ()), *variables)

    def of(self, field: object) -> str:
        """Return what to add to a message about a field: the variables that gave it its value."""
        own = self._own.get(str(field))
        variables = (own,) if own else self._foreign.get(str(field), ())
        return f" (from {', '.join(variables)})" if variables else ""


_current: ContextVar[Origins] = ContextVar("kafka_email_config_origins")


@contextmanager
def noted_origins() -> Iterator[Origins]:
    """Collect the origins of the configuration that is built inside of this block."""
    origins = Origins()
    token = _current.set(origins)
    try:
        yield origins
    finally:
        _current.reset(token)


def current_origins() -> Origins:
    """Return the origins of the configuration that is being built. Its sources write into them."""
    return _current.get()
