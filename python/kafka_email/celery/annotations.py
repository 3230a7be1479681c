"""Whether a function says that it returns ``EmailFields``."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

from kafka_email.celery.fields import EmailFields


def returns_fields(function: FunctionType) -> bool:
    """Return whether the function is annotated ``-> EmailFields``.

    The annotation is the class, or text where annotations are not evaluated. The text may name what only type checkers
    import.
    """
    annotation = _return_annotation(function)
    if annotation is EmailFields:
        return True
    text = getattr(annotation, "__forward_arg__", annotation)
    if not isinstance(text, str):
        return False
    *modules, name = text.strip("'\"").split(".")
    found = function.__globals__.get(name) if not modules else None
    return name == EmailFields.__name__ or found is EmailFields


def _return_annotation(function: FunctionType) -> Any:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return get_annotations(function, format=Format.FORWARDREF).get("return")
    return function.__annotations__.get("return")
