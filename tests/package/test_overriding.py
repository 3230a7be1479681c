"""Whatever a user overrides or patches on the documented way of an event is what runs."""

from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from pydantic import AliasChoices, AliasGenerator, AliasPath, ConfigDict, EmailStr, Field, ValidationError

from kafka_email import BasePublisher, EmailEventPayload, EmailPublisher, KafkaManager, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import ADDRESS, TOPIC, started

STORED = RecordMetadata(TOPIC, 0, 42, 0, "x")
EVENTS = [{"email_type": "welcome", "recipient": ADDRESS, "username": name} for name in ("Ann", "Bob")]


class WithTenant(EmailPublisher):
    """Adds a header to every event."""

    async def publish(self, event: Any, key: Any = None, *, headers: Any = None) -> RecordMetadata:
        return await super().publish(event, key, headers={**(headers or {}), "tenant": "a"})


class AsInTheOriginal(EmailPublisher):
    """The original's `publish` takes no headers."""

    async def publish(self, event: Any, key: Any = None) -> RecordMetadata:  # type: ignore[override]
        return await super().publish({**event, "metadata": {"seen": True}}, key)


class OfTenant(EmailPublisher):
    """Each tenant has a topic of its own."""

    @property
    def topic(self) -> str:
        return "mails-a"


async def test_an_overridden_topic_is_where_every_event_goes() -> None:
    async with started() as broker:
        await OfTenant().publish_welcome_email(ADDRESS, "Ann")
        await OfTenant().publish_welcome_email(ADDRESS, "Ann", {"only": {"Pydantic"}})
        await OfTenant().publish_many(EVENTS)
        await OfTenant().publish({})
        assert len(broker.records("mails-a")) == 5


def headers_of(broker: EmbeddedBroker) -> list[str | None]:
    return [record.headers.get("tenant") for record in broker.records(TOPIC)]


async def test_an_overridden_publish_gets_every_event() -> None:
    async with started() as broker:
        publisher = WithTenant()
        await publisher.publish_verification_email(ADDRESS, "Ann", "link")
        await publisher.publish_password_reset_email(ADDRESS, "Ann", "link", headers={"request": "r"})
        await publisher.publish_welcome_email(ADDRESS, "Zoë", {"deep": [1]})
        await publisher.publish_notification_email(ADDRESS, "Ann", "link")
        assert len(await publisher.publish_many(EVENTS)) == 2
        assert headers_of(broker) == ["a"] * 6
        values = [record.value for record in broker.records(TOPIC)]
    assert [value["email_type"] for value in values[:2]] == ["verification", "password_reset"]
    assert (values[2]["username"], values[2]["metadata"]) == ("Zoë", {"deep": [1]})


async def test_a_publish_written_for_the_original_works() -> None:
    async with started() as broker:
        await AsInTheOriginal().publish_welcome_email(ADDRESS, "Ann")
        await AsInTheOriginal().publish_many(EVENTS)
        assert [record.value["metadata"] for record in broker.records(TOPIC)] == [{"seen": True}] * 3


@pytest.mark.parametrize("target", [BasePublisher, EmailPublisher])
async def test_a_patched_publish_is_called(target: type) -> None:
    with patch.object(target, "publish", AsyncMock(return_value=STORED)) as publish:
        assert await EmailPublisher().publish_verification_email(ADDRESS, "Ann", "link") == STORED
        assert await EmailPublisher().publish_many(EVENTS) == [STORED, STORED]
    assert publish.await_count == 3
    event = publish.await_args_list[0].args[0]
    assert (event["recipient"], event["link"]) == (ADDRESS, "link")


async def test_a_patched_send_event_is_called_by_publish_many(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = AsyncMock(return_value=STORED)
    monkeypatch.setattr(KafkaManager, "send_event", sent)
    assert await EmailPublisher().publish_many(EVENTS) == [STORED, STORED]
    assert [call.kwargs["key"] for call in sent.await_args_list] == [ADDRESS, ADDRESS]


async def test_the_events_of_an_overridden_publisher_are_validated_before_any_is_sent() -> None:
    with patch.object(BasePublisher, "publish", AsyncMock(return_value=STORED)) as publish:
        with pytest.raises(ValidationError) as caught:
            await EmailPublisher().publish_many([*EVENTS, {"email_type": "welcome", "recipient": "nobody"}])
        assert {line["loc"][0] for line in caught.value.errors()} == {2}
    publish.assert_not_awaited()
    assert not kafka_manager.is_connected


async def test_a_failure_takes_the_place_of_its_own_event() -> None:
    failing = AsyncMock(side_effect=[STORED, KeyError("x")])
    with patch.object(BasePublisher, "publish", failing):
        first, second = await EmailPublisher().publish_many(EVENTS)
    assert first == STORED
    assert isinstance(second, KeyError)


class Aliased(EmailEventPayload):
    """A payload whose field has another name outside."""

    metadata: dict[str, Any] = Field(default_factory=dict, alias="extraData")


class InPaths(EmailEventPayload):
    """A payload whose fields are inside others, as in the body of a webhook."""

    recipient: EmailStr = Field(validation_alias=AliasPath("user", "emails", -1))
    username: str = Field(validation_alias=AliasChoices(AliasPath("user", "names", 1), "username"))
    metadata: dict[str, Any] = Field(default_factory=dict, validation_alias=AliasPath("user", "more"))


class WithTheWhole(InPaths):
    """The same, and what they are inside is a field as well."""

    user: dict[str, Any] = Field(exclude=True)


class Generated(EmailEventPayload):
    """A payload that makes its aliases, as an application does for camelCase."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasPath("mail", name)), extra="forbid"
    )


GIVEN = {**EVENTS[0], "link": "", "metadata": {"a": 1}}
USER = {"emails": ["old@gmail.com", ADDRESS], "names": ["", "Ann"], "more": {"a": 1}}
ALIASED: list[tuple[type[EmailEventPayload], dict[str, Any]]] = [
    (Aliased, {**EVENTS[0], "link": "", "extraData": {"a": 1}}),
    (InPaths, {"email_type": "welcome", "link": "", "user": USER}),
    (WithTheWhole, {"email_type": "welcome", "link": "", "user": USER}),
    (Generated, {"mail": GIVEN}),
]


@pytest.mark.parametrize(("model", "given"), ALIASED, ids=lambda each: getattr(each, "__name__", ""))
async def test_a_model_with_aliases_keeps_its_values(model: type[EmailEventPayload], given: dict[str, Any]) -> None:
    event = model.model_validate(given)
    before = event.model_copy(deep=True)
    with capture_events() as captured:
        await EmailPublisher().publish_many([event, event])
        with patch.object(EmailPublisher, "publish", AsyncMock(return_value=STORED)) as publish:
            await EmailPublisher().publish_many([event])
    for value in [*(stored.value for stored in captured.events), publish.await_args.args[0]]:
        assert {name: value[name] for name in GIVEN} == GIVEN
    assert captured.events[0].key == ADDRESS
    assert event == before


class Strict(EmailEventPayload):
    """A payload that is never valid once it has no name."""

    username: str = Field(alias="greeting", min_length=1)


async def test_each_model_is_validated_by_its_own_class() -> None:
    """Also where the error about all of them is made."""
    valid, nameless = (Strict.model_validate({**EVENTS[0], "link": "", "greeting": name}) for name in ("Ann", "Bob"))
    nameless.username = ""
    with capture_events() as captured, pytest.raises(ValidationError) as caught:
        await EmailPublisher().publish_many([*EVENTS, valid, nameless, {}])
    assert {line["loc"][:2] for line in caught.value.errors() if line["loc"][0] != 4} == {(3, "greeting")}
    assert not captured.events
