"""What the body of a task may be: nothing, because it would run in the caller's process."""

from __future__ import annotations

import dis
import inspect
from types import FunctionType

_NO_STEPS = {"NOP", "RESUME"}
_NOT_PLAIN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def does_nothing(function: FunctionType) -> bool:
    """Return whether the body is a docstring, ``...`` or ``pass``: these compile to nothing.

    The bytecode decides, because the source is not always there, and not always the one that was compiled.
    """
    return _steps(function) == _steps(_nothing)


def is_plain(function: FunctionType) -> bool:
    """Return whether a call runs the body to its end: not so with ``async def`` and with generators."""
    return not function.__code__.co_flags & _NOT_PLAIN


def _steps(function: object) -> list[tuple[str, object]]:
    instructions = dis.get_instructions(function)  # type: ignore[arg-type]  # a function
    return [(step.opname, step.argval) for step in instructions if step.opname not in _NO_STEPS]


def _nothing() -> None: ...
