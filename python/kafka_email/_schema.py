"""What Pydantic, and FastAPI with it, has to know about results that are neither models nor dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


def schema_of(
    cls: type[Any], form: type[Any], handler: GetCoreSchemaHandler, build: Callable[..., Any] | None = None
) -> CoreSchema:
    """Return the schema of a class with a method ``as_dict``.

    Args:
        cls: The class.
        form: A dataclass with the fields that ``as_dict`` returns.
        handler: What Pydantic passed.
        build: Builds an instance from these fields; ``cls`` when None.
    """

    def write(value: Any) -> Any:
        if not isinstance(value, cls):  # another choice of a union
            raise PydanticSerializationUnexpectedValue(f"not a {cls.__name__}")
        return form(**value.as_dict())

    fields = handler.generate_schema(form)
    built = core_schema.no_info_after_validator_function(lambda read: (build or cls)(**asdict(read)), fields)
    return core_schema.json_or_python_schema(
        json_schema=built,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), built]),
        serialization=core_schema.plain_serializer_function_ser_schema(write, return_schema=fields),
    )
