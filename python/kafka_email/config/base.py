"""What every configuration of this package has in common: it validates all changes, and its errors show no value.

Any value may be a secret, or a secret in the wrong field. So a value must not be found in a ``ValidationError``, in an
exception that led to it, or in a local variable of the frames that its traceback holds: error trackers collect those.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import Signature
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from kafka_email.config.errors import Problem, impossible_combination, masked, unknown_argument
from kafka_email.config.loan import Loan
from kafka_email.config.origins import Origins, noted_origins
from kafka_email.config.sources import ForeignVariables, KnownFields, variable_of

if TYPE_CHECKING:
    from typing_extensions import Self


class GuardedSettings(BaseSettings):
    """Base of the configurations.

    A subclass sets ``env_prefix``, and says in ``_problems`` which values contradict each other.
    """

    model_config = SettingsConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    # Fields that hold objects of the application. They do not come from the environment, and copies share them: such an
    # object may hold locks and connections.
    _application_objects: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:  # type checkers keep the signatures that Pydantic gives them

        def __init__(self, **values: Any) -> None:
            error = None
            with noted_origins() as origins:
                try:
                    super().__init__(**values)
                except ValidationError as caught:
                    error = masked(caught, type(self).model_fields, self._remark(origins))
                finally:
                    values.clear()  # or a traceback with local variables shows them
            self._conclude(error, complete=True, origins=origins)

        def __setattr__(self, name: str, value: Any) -> None:
            changes = {name: value}
            del value
            self._assign(changes, complete=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # FastAPI fills the parameters of a dependency from the request: with Pydantic's own signature,
        # `Depends(KafkaConfig)` would let any HTTP client choose the brokers.
        cls.__signature__ = Signature()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Self":
        """Return a copy with ``update`` applied and, unlike Pydantic's own, validated (``ValidationError``)."""
        changes, update = dict(update or {}), None  # _set empties `changes`
        copied = super().model_copy(deep=deep)
        if changes:
            copied._assign(changes, complete=True)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Self":
        memo = {} if memo is None else memo
        for shared in (getattr(self, name) for name in self._application_objects):
            memo[id(shared)] = shared
        return super().__deepcopy__(memo)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Refuse unknown names among the arguments only (a hook of pydantic-settings)."""
        outside = (env_settings, dotenv_settings, file_secret_settings)
        return (init_settings, *(KnownFields(settings_cls, source, cls._application_objects) for source in outside))

    @classmethod
    def _remark(cls, origins: Origins) -> Callable[[str, str], str]:
        def remark(kind: str, field: str) -> str:
            missing = kind == "missing" and field in cls.model_fields
            return f": pass it, or set {variable_of(cls, field)}" if missing else origins.of(field)

        return remark

    def _derive(self) -> None:
        """Set the fields whose default depends on other fields. Called after each change."""

    def _problems(self, *, complete: bool) -> Iterable[Problem]:  # noqa: ARG002 - subclasses use it
        """Find values that contradict each other.

        Args:
            complete: False while fields are assigned one by one: those that only make sense together may not be there
                yet.
        """
        return ()

    def _assign(self, changes: dict[str, Any], *, complete: bool) -> None:
        """Set all of ``changes`` or, raising ``ValidationError``, none."""
        before = self.__dict__.copy(), self.__pydantic_fields_set__.copy()
        try:
            self._conclude(self._set(changes), complete=complete)
        except ValidationError:
            object.__setattr__(self, "__dict__", before[0])
            object.__setattr__(self, "__pydantic_fields_set__", before[1])
            raise

    def _set(self, changes: dict[str, Any]) -> ValidationError | None:
        """Set one field after the other and empty ``changes``, so that no traceback with local variables shows them."""
        known = type(self).model_fields
        try:
            for name in list(changes):
                if name not in known and not hasattr(type(self), name):
                    return unknown_argument(type(self).__name__, name, known)
                super().__setattr__(name, changes.pop(name))
        except ValidationError as caught:
            return masked(caught, known)
        finally:
            changes.clear()
        return None

    def _conclude(self, error: ValidationError | None, *, complete: bool, origins: Origins | None = None) -> None:
        """Raise ``error``, or an error about values that contradict each other.

        Call it outside of every ``except`` block: the exception that is being handled there holds the values, and would
        become the context of the one raised here.

        Args:
            error: What was wrong with single values.
            complete: As for ``_problems``.
            origins: Where the values come from, if the configuration is new.
        """
        if error is None:
            self._derive()
            problems = list(self._problems(complete=complete))
            if origins is not None:
                problems = [(field, text + origins.of(field)) for field, text in problems] + origins.problems
            error = impossible_combination(type(self).__name__, problems) if problems else None
        if error is not None:
            raise error


class BorrowingSettings(GuardedSettings):
    """Base of the configurations that understand variables of other programs.

    A subclass says in ``_borrow`` what it takes from them.
    """

    # A variable that is set to nothing is not set: another program's variable may have a value.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    _borrowed: tuple[str, ...] = PrivateAttr(())

    @property
    def borrowed_variables(self) -> tuple[str, ...]:
        """Names of the variables of other programs that this configuration was read from, for a log line."""
        return self._borrowed

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the variables of other programs, which all others precede (a hook of pydantic-settings)."""
        variables: dict[str, str | None] = {}
        for source in (dotenv_settings, env_settings):
            if isinstance(source, EnvSettingsSource):
                variables |= source.env_vars
        own = super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        return (*own, ForeignVariables(settings_cls, cls._borrow, variables))

    @classmethod
    def _borrow(cls, loan: Loan) -> None:
        """Take what the variables of other programs offer."""
        raise NotImplementedError

    def _conclude(self, error: ValidationError | None, *, complete: bool, origins: Origins | None = None) -> None:
        super()._conclude(error, complete=complete, origins=origins)
        if origins is not None:
            BaseSettings.__setattr__(self, "_borrowed", origins.foreign)  # not a change of a field
