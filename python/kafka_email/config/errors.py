"""Validation errors of a configuration: Pydantic's messages, without the values that they are about."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Problem: TypeAlias = tuple[str, str]
"""The name of a field; what is wrong with its value and how to correct it."""

_MASK = "**********"


def masked(
    error: ValidationError, known: Iterable[str], remark: Callable[[str, str], str] = lambda _kind, _field: ""
) -> ValidationError:
    """Rebuild ``error`` so that no value is left in it.

    Args:
        error: Pydantic's error.
        known: Names that may be suggested for an unknown argument.
        remark: Returns what to add to a message, for the kind of an error and the name of a field.
    """
    details = []
    for line in error.errors(include_url=False, include_context=False, include_input=False):
        kind, field = line["type"], str(line["loc"][0])
        hint = _hint(field, known) if kind == "extra_forbidden" else remark(kind, field)
        details.append(_detail(kind, line["msg"] + hint, line["loc"]))
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def unknown_argument(title: str, name: str, known: Iterable[str]) -> ValidationError:
    """Build the error for a name that is not a field."""
    detail = _detail("extra_forbidden", "Extra inputs are not permitted" + _hint(name, known), (name,))
    return ValidationError.from_exception_data(title, [detail], hide_input=True)


def impossible_combination(title: str, problems: Iterable[Problem]) -> ValidationError:
    """Build one error of all problems."""
    details = [_detail("impossible_combination", text, (field,)) for field, text in problems]
    return ValidationError.from_exception_data(title, details, hide_input=True)


def _detail(kind: str, message: str, loc: tuple[int | str, ...]) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=loc, input=_MASK)


def _hint(name: str, known: Iterable[str]) -> str:
    return "".join(f"; did you mean {match!r}?" for match in get_close_matches(name, list(known), n=1))
