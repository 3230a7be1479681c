"""Whatever is published is exactly what the original wrote, or fails exactly as it failed: both validation paths."""

import asyncio
import dataclasses
import enum
import string
import sys
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import email_validator
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from kafka_email import EmailPublisher
from kafka_email._core import Batch
from kafka_email.testing import capture_events
from support.package.original import original_bytes, with_timestamp

EXAMPLES = settings(max_examples=4 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
ADDRESS, NAME, LINK = "ann@gmail.com", "Ann", "https://shop.example.com/verify?token=abc"


class Text(str):
    """Not quite a `str`."""


class Colour(str, enum.Enum):
    """A text of a limited kind."""

    RED = "red"


class Level(enum.IntEnum):
    """A number of a limited kind."""

    HIGH = 3


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int = 1


class Model(BaseModel):
    """A model in the metadata."""

    when: datetime = datetime(2026, 1, 2)


def outcome_of_original(*event: Any) -> tuple[bytes | None, BaseException | None]:
    """What the original would have written, or raised."""
    try:
        return original_bytes("verification", *event), None
    except Exception as error:
        return None, error


def outcome_of_ours(*event: Any) -> tuple[bytes | None, BaseException | None]:
    """What is published, or raised, through the public API."""
    with capture_events() as captured:
        try:
            asyncio.run(EmailPublisher().publish_verification_email(*event))
        except Exception as error:
            assert not captured.events
            return None, error
        (event_captured,) = captured.events
        return with_timestamp(event_captured.raw_value), None


def reasons(error: BaseException | None) -> Any:
    """What is comparable about an exception."""
    if isinstance(error, ValidationError):
        return sorted((line["type"], line["loc"]) for line in error.errors(include_url=False, include_context=False))
    return type(error)


def fast_path(email_type: str, recipient: Any, username: Any, link: Any, metadata: Any) -> bytes | None:
    """What is sent without Pydantic, if it is certain."""
    event = {"email_type": email_type, "recipient": recipient, "username": username, "link": link}
    batch = Batch(sys.maxsize)
    batch.extend([event if metadata is None else event | {"metadata": metadata}], 1)
    return batch[0][1] if len(batch) else None


def assert_same(recipient: Any, username: Any, link: Any, metadata: Any) -> None:
    """Both paths agree with the original."""
    event = (recipient, username, link, metadata)
    expected, expected_error = outcome_of_original(*event)
    fast = fast_path("verification", *event)
    if fast is not None:
        assert with_timestamp(fast) == expected
    value, error = outcome_of_ours(*event)
    assert (value, reasons(error)) == (expected, reasons(expected_error))


LOCALS = st.text(string.ascii_letters + string.digits + "._+-'!#%\" ()äß@<>,;:\\", min_size=0, max_size=70)
LABELS = st.text(string.ascii_letters + string.digits + "-_äß", min_size=0, max_size=64)
ENDINGS = [
    "com",
    "de",
    "co.uk",
    "test",
    "local",
    "localhost",
    "invalid",
    "onion",
    "arpa",
    "example",
    "museum",
    "c",
    "c0m",
    "1",
    "xn--p1ai",
    "рф",
]
ADDRESSES = st.one_of(
    st.builds(
        lambda local, labels, end: f"{local}@{'.'.join([*labels, end])}",
        LOCALS,
        st.lists(LABELS, max_size=3),
        st.sampled_from(ENDINGS),
    ),
    st.builds(
        lambda local, end: f"{local}@mail.{end}",
        st.text(string.ascii_lowercase + ".+-_", min_size=1, max_size=66),
        st.sampled_from(ENDINGS),
    ),
    st.builds(
        lambda role, host: f"{role}@{host}",
        st.sampled_from(["INFO", "Postmaster", "webmaster", "Www", "marketing", "Marking"]),
        st.sampled_from(["gmail.com", "Gmail.com", "a-.de", "-a.de", "ab--c.de", "xn--a.de"]),
    ),
    st.builds("{} <{}@gmail.com>".format, st.text(max_size=10), st.text(string.ascii_lowercase, min_size=1)),
    st.integers(180, 260).map(lambda length: "a@" + ".".join(["b" * 60] * 4)[: length - 6] + ".com"),
    st.sampled_from(
        [
            "",
            "@",
            "a@",
            "a@b",
            "a@b.c",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a..b@gmail.com",
            ".a@gmail.com",
            "a.@gmail.com",
            "a@gmail..com",
            "a@gmail.com.",
            '"a b"@gmail.com',
            " a@gmail.com ",
            "a@gmail.com\n",
            "a\0@gmail.com",
            "\ud800@gmail.com",
            '"A\0B" <ann@gmail.com>',
            '"A\ud800B" <ann@gmail.com>',
            "用户@例子.公司",
        ]
    ),
    st.text(max_size=40),
)


@EXAMPLES
@given(ADDRESSES)
def test_addresses(address: str) -> None:
    assert_same(address, NAME, LINK, None)


# What is escaped, refused or has no UTF-8 form is rare among all characters.
RARE_TEXT = st.text(st.sampled_from('a"\\é🎉\0\r\n\ud800\udbff\udc00\udfff'), max_size=8)
ANY_TEXT = st.one_of(st.text(st.characters(), max_size=60), RARE_TEXT)


@EXAMPLES
@given(ANY_TEXT, ANY_TEXT)
def test_names_and_links_of_any_unicode(username: str, link: str) -> None:
    assert_same(ADDRESS, username, link, None)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**80),
    st.floats(),
    ANY_TEXT,
    st.decimals(),
    st.uuids(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.binary(max_size=8),
    st.sampled_from([Colour.RED, Level.HIGH, Text("text"), Point(), Model(), object(), 1j, range(3), Ellipsis]),
)
METADATA = st.dictionaries(
    ANY_TEXT,
    st.recursive(
        SCALARS,
        lambda values: st.one_of(
            st.lists(values, max_size=3),
            st.tuples(values, values),
            st.dictionaries(ANY_TEXT, values, max_size=3),
            st.dictionaries(st.integers(), values, max_size=2),
            st.sets(st.integers(), max_size=3),
            st.frozensets(st.text(max_size=3), max_size=1),
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@EXAMPLES
@given(METADATA)
def test_metadata_of_every_type(metadata: dict[str, Any]) -> None:
    assert_same(ADDRESS, NAME, LINK, metadata)


def nested(depth: int) -> dict[str, Any]:
    """Dictionaries in dictionaries."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"deeper": value}
    return value


def cycle() -> dict[str, Any]:
    """A dictionary that contains itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": [1, 2.5, "x", None, True, {"b": []}]},
        {"nan": float("nan"), "inf": float("-inf")},
        {"floats": [1e16, 1e-7, 0.1, -0.0, 1e300]},
        {"big": 2**200},
        {1: "not a text"},
        {Text("key"): Text("value")},
        {"mapping": {Level.HIGH: 1, None: 2, 1.5: 3, (1, 2): 4}},
        {"time": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), "day": date(2026, 1, 2)},
        {"id": uuid.UUID(int=5), "price": Decimal("1.10"), "raw": b"bytes", "bad": b"\xff"},
        {"secret": object()},
        nested(20),
        nested(33),
        nested(200),
        nested(3000),
        cycle(),
        [("a", 1)],
        "text",
        5,
    ],
)
def test_metadata_worth_a_look(metadata: Any) -> None:
    assert_same(ADDRESS, NAME, LINK, metadata)


@pytest.mark.parametrize("value", [None, 5, b"bytes", Text("ann@gmail.com"), ["ann@gmail.com"], Colour.RED])
@pytest.mark.parametrize("field", [0, 1, 2])
def test_fields_of_every_type(field: int, value: Any) -> None:
    event: list[Any] = [ADDRESS, NAME, LINK]
    event[field] = value
    assert_same(*event, None)


@pytest.mark.parametrize(
    "address",
    [
        "ann@gmail.com",
        "Ann.Miller+shop@mail.example.co.uk",
        "a_b-c@sub.domain.museum",
        "x@1and1.com",
        "JohnDoe1984@gmail.com",
    ],
)
@pytest.mark.parametrize("username", ["Ann", 'Jürgen "the" Müller', "名前 🎉", ""])
@pytest.mark.parametrize("metadata", [None, {}, {"lang": "de", "n": 1, "ok": True, "none": None, "list": [1.5, "ü"]}])
def test_an_ordinary_event_takes_the_fast_path(address: str, username: str, metadata: Any) -> None:
    value = fast_path("welcome", address, username, LINK, metadata)
    assert value is not None
    assert with_timestamp(value) == original_bytes("welcome", address, username, LINK, metadata)


async def test_what_has_no_json_form_is_refused_before_anything_is_queued() -> None:
    with capture_events() as captured:
        with pytest.raises(PydanticSerializationError):
            await EmailPublisher().publish_welcome_email(ADDRESS, NAME, {"thing": object()})
        assert not captured.events


async def test_an_event_that_is_not_valid_names_the_fields() -> None:
    with capture_events() as captured:
        with pytest.raises(ValidationError) as caught:
            await EmailPublisher().publish_welcome_email("nobody", "a\r\nBcc: everybody@example.com")
        assert {line["loc"] for line in caught.value.errors()} == {("recipient",), ("username",)}
        assert not captured.events


def is_certain(recipient: str) -> bool:
    return fast_path("welcome", recipient, "Ann", "", None) is not None


def test_the_fast_path_knows_every_list_of_the_installed_email_validator() -> None:
    """The lists stand in Rust as well: what a newer email-validator adds there must be added here."""
    assert is_certain("ann@gmail.com")
    for domain in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        assert not is_certain(f"ann@{domain}"), domain
        assert not is_certain(f"ann@mail.{domain}"), domain
    for mailbox in email_validator.rfc_constants.CASE_INSENSITIVE_MAILBOX_NAMES:
        assert not is_certain(f"{mailbox.upper()}@gmail.com"), mailbox
