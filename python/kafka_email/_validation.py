"""Validation by Pydantic, and the encoding of models and other events as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from kafka_email._core import Batch, count_invalid
from kafka_email._encoding import encode_key
from kafka_email.schemas.email_events import EmailEventPayload, EmailEventType

_email_type = re.compile("[a-z][a-z0-9_]{0,63}")
_known_types = frozenset(EmailEventType)


def encode_event(event: Mapping[str, Any] | BaseModel) -> bytes:
    """Encode an event as ``json.dumps`` does, after Pydantic has turned it into JSON types.

    So a mapping has the same answers as a model and as the metadata of an e-mail event: NaN and infinity become null,
    and keys become text.

    Raises:
        pydantic_core.PydanticSerializationError: Something in the event has no JSON form.
        TypeError: The event is neither a mapping nor a model.
    """
    if isinstance(event, BaseModel):
        event = event.model_dump(mode="json")  # with the settings of the model; it leaves NaN in fields of type float
    elif not isinstance(event, Mapping):
        raise TypeError(f"an event is a mapping or a Pydantic model, not {type(event).__name__}")
    return json.dumps(to_jsonable_python(dict(event), by_alias=False, inf_nan_mode="null")).encode()


def event_type(event: Mapping[str, Any] | BaseModel, topic: str) -> str:
    """Return the type of an event: the name of its model, or the topic."""
    return type(event).__name__ if isinstance(event, BaseModel) else topic


def email_event(
    email_type: str, email: str, username: str, link: str, metadata: dict[str, Any] | None
) -> dict[str, Any]:
    """Build the JSON form of an e-mail event; its type may be one that the model does not know.

    Raises:
        pydantic.ValidationError: The event is not valid.
        TypeError: The type is not text.
        ValueError: The type is not a name as ``publish_email`` takes it.
    """
    try:
        name = email_type_name(email_type)
        known = name if name in _known_types else EmailEventType.NOTIFICATION
        fields = {"email_type": known, "recipient": email, "username": username, "link": link}
        payload = EmailEventPayload.model_validate(fields | {"metadata": {} if metadata is None else metadata})
    except (TypeError, ValueError):
        count_invalid()
        raise
    return payload.model_dump(mode="json") | {"email_type": name}


def email_type_name(email_type: str) -> str:
    """Return the name of a type of e-mail as a plain string.

    Raises:
        TypeError: The type is not text.
        ValueError: No type can have this name.
    """
    if not isinstance(email_type, str):
        raise TypeError(f"an e-mail type is str, not {type(email_type).__name__}")
    name = str(email_type)
    if not _email_type.fullmatch(name):
        raise ValueError(f"an e-mail type matches {_email_type.pattern}: {name!r:.100} does not")
    return name


def add_validated(batch: Batch, event: EmailEventPayload | Mapping[str, Any]) -> None:
    """Validate an event and add it to a batch.

    Raises:
        pydantic.ValidationError: The event is not valid.
    """
    payload, recipient = _validated(event)
    batch.add(encode_key(recipient), encode_event(payload), payload.email_type.value)


def encode_batch(events: list[EmailEventPayload | Mapping[str, Any]], max_event_bytes: int) -> Batch:
    """Validate and encode events.

    Raises:
        pydantic.ValidationError: Names the indexes of all events that are not valid.
    """
    batch = Batch(max_event_bytes)
    while len(batch) < len(events):
        extend_batch(batch, events, len(events))
    return batch


def extend_batch(batch: Batch, events: list[EmailEventPayload | Mapping[str, Any]], end: int) -> None:
    """Validate and encode the events from the index ``len(batch)`` on, up to ``end`` or to one that took Pydantic.

    Raises:
        pydantic.ValidationError: Names the indexes of all events that are not valid.
    """
    batch.extend(events, end)
    if len(batch) < min(end, len(events)):
        # `extend` stopped at an event that is not certainly valid: Pydantic decides.
        try:
            add_validated(batch, events[len(batch)])
        except ValidationError:
            email_payloads(events)  # raises one error about all of them
            raise


def email_payloads(events: list[EmailEventPayload | Mapping[str, Any]]) -> list[tuple[EmailEventPayload, str]]:
    """Validate events, each model by its own class; return each with its recipient as given.

    Raises:
        pydantic.ValidationError: Names the indexes of all events that are not valid.
    """
    try:
        return _all_validated.validate_python(events)
    except ValidationError:
        count_invalid()
        raise


def _validated(event: EmailEventPayload | Mapping[str, Any]) -> tuple[EmailEventPayload, str]:
    if isinstance(event, EmailEventPayload):
        # Validate it again: its fields may have been changed since it was made.
        return type(event).model_validate(_fields(event)), event.recipient
    return EmailEventPayload.model_validate(_fields(event)), event["recipient"]


# One error about all events; Pydantic prepends the index to what `_validated` raises.
_all_validated: TypeAdapter[list[tuple[EmailEventPayload, str]]] = TypeAdapter(
    list[Annotated[Any, PlainValidator(_validated)]], config=ConfigDict(title="list[EmailEventPayload]")
)


def _fields(event: EmailEventPayload | Mapping[str, Any]) -> Any:
    """Return what to validate: the values of a model by the names that its validation accepts, or a mapping.

    In a mapping, a welcome needs no link.
    """
    if not isinstance(event, BaseModel):
        is_welcome = isinstance(event, Mapping) and event.get("email_type") == EmailEventType.WELCOME
        return {"link": "", **event} if is_welcome else event
    model_fields = type(event).model_fields
    fields: dict[Any, Any] = {}
    places = [(_place(name, model_fields.get(name)), value) for name, value in event]
    for place, value in sorted(places, key=lambda each: len(each[0])):
        _put(fields, place, value)
    return fields


def _place(name: str, field: FieldInfo | None) -> list[Any]:
    """Return where validation looks for a field: its name or alias, or the steps of an ``AliasPath``."""
    alias = field and field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias.path if isinstance(alias, AliasPath) else [alias or name]


def _put(fields: dict[Any, Any], place: list[Any], value: Any) -> None:
    # Steps into a list are keys as well: Pydantic asks each container for `container[step]`.
    *containers, last = place
    for step in containers:
        known = fields.get(step)
        # A copy: it may be the value of another field.
        fields[step] = dict(known) if isinstance(known, Mapping) else {}
        fields = fields[step]
    fields[last] = value
