"""The fields of an e-mail, from the arguments of a call: by the names of the parameters, never by their positions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, Protocol, TypedDict

__all__ = ["EmailFields"]

_FIELDS = ("recipient", "username", "link")
_NAMES = {
    "recipient": {"recipient", "email", "to", "to_email", "user_email"},
    "username": {"username", "name", "user_name"},
    "link": {"link", "url"},
}
_LINK_ENDINGS = ("_link", "_url")


class _Recipient(TypedDict):
    email: str


class EmailFields(_Recipient, total=False):
    """What a task's body returns that computes the fields itself; only ``email`` is required."""

    username: str
    link: str
    metadata: dict[str, Any] | None


class Binding(Protocol):
    """Makes the fields of an e-mail from the arguments of a call."""

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> EmailFields:
        """Bind the arguments.

        Raises:
            TypeError: The function cannot be called with these arguments.
        """


class ByName:
    """The parameters are the fields.

    Args:
        function: A function that does nothing.
        chosen: Names of parameters by field, where the application named them.

    Raises:
        TypeError: The function has no recipient, two parameters for one field, ``*args``, or no such parameter.
    """

    def __init__(self, function: FunctionType, chosen: Mapping[str, str]) -> None:
        code = function.__code__
        if code.co_flags & inspect.CO_VARARGS:
            raise TypeError(f"{function.__name__}() has *args, which have no names: give each argument a parameter")
        self._function = function
        self._positional = code.co_varnames[: code.co_argcount]
        self._positional_only = frozenset(self._positional[: code.co_posonlyargcount])
        self._defaults = _defaults(function, self._positional)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        parameters = _parameters(function.__name__, names, chosen)
        self._recipient = parameters["recipient"]
        self._username = parameters.get("username")
        self._link = parameters.get("link")

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> EmailFields:
        """Bind the arguments as a call of the function does, which is how Celery checks them."""
        self._function(*args, **kwargs)
        named, more = (kwargs, {}) if self._positional_only.isdisjoint(kwargs) else self._divided(args, kwargs)
        metadata = {**self._defaults, **dict(zip(self._positional, args, strict=False)), **named}
        fields: EmailFields = {
            "email": metadata.pop(self._recipient),
            "username": "" if self._username is None else metadata.pop(self._username),
            "link": "" if self._link is None else metadata.pop(self._link),
            "metadata": metadata,
        }
        metadata.update(more)
        return fields

    def _divided(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Separate the keyword arguments for ``**kwargs`` that have the name of a positional-only parameter."""
        more = {name: value for name, value in kwargs.items() if name in self._positional_only}
        twice = [name for name in self._positional[: len(args)] if name in more]
        if twice:  # a call of the function takes both, but Celery refuses it
            raise TypeError(f"{self._function.__name__}() got multiple values for argument {twice[0]!r}")
        return {name: value for name, value in kwargs.items() if name not in more}, more


class Computed:
    """The body of the function computes the fields.

    Args:
        function: A function that returns ``EmailFields``.
    """

    def __init__(self, function: FunctionType) -> None:
        self._function = function

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> EmailFields:
        """Call the function."""
        fields: EmailFields = self._function(*args, **kwargs)
        if not isinstance(fields, Mapping) or "email" not in fields:
            raise TypeError(f"{self._function.__name__}() must return EmailFields, a mapping with at least 'email'")
        unknown = fields.keys() - EmailFields.__annotations__.keys()
        if unknown:
            raise TypeError(f"{self._function.__name__}() returned more than EmailFields: {sorted(unknown)}")
        return fields


def _defaults(function: FunctionType, positional: tuple[str, ...]) -> dict[str, Any]:
    values = function.__defaults__ or ()
    names = positional[len(positional) - len(values) :]
    return {**dict(zip(names, values, strict=True)), **(function.__kwdefaults__ or {})}


def _parameters(function: str, names: tuple[str, ...], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the parameter for each field that has one."""
    for field, name in chosen.items():
        if name not in names:
            raise TypeError(f"{function}() has no parameter {name!r} for the {field}")
    if len(set(chosen.values())) < len(chosen):
        raise TypeError(f"one parameter of {function}() is named for two fields")
    found = dict(chosen)
    for name in names:
        meant = _field(name)
        if meant is None or meant in chosen or name in chosen.values():
            continue
        if meant in found:
            which = f"{found[meant]!r} and {name!r}"
            raise TypeError(f"{function}() has two parameters for the {meant}, {which}: email_task(…, {meant}=…)")
        found[meant] = name
    if "recipient" not in found:
        raise TypeError(f"{function}() has no recipient: name the parameter so, or email_task(…, recipient=…)")
    return found


def _field(parameter: str) -> str | None:
    for field in _FIELDS:
        if parameter in _NAMES[field]:
            return field
    return "link" if parameter.endswith(_LINK_ENDINGS) else None
