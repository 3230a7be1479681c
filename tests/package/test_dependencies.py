"""Classes and functions of the package as dependencies of FastAPI."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from unittest.mock import create_autospec

import httpx
import pytest
from fastapi import Depends, FastAPI, Header

from kafka_email import (
    BasePublisher,
    EmailPublisher,
    KafkaConfig,
    KafkaManager,
    NotStartedError,
    RecordMetadata,
    get_kafka_manager,
    kafka_manager,
)
from kafka_email.config import SmtpConfig, WorkerConfig
from kafka_email.metrics import KafkaEmailCollector
from kafka_email.testing import CapturedEvents, EmbeddedBroker, capture_events
from support.package.embedded import ADDRESS, config_for


class Shop(EmailPublisher):
    """A publisher of an application, with a constructor that FastAPI is to fill."""

    def __init__(self, tenant: Annotated[str, Header()]) -> None:
        super().__init__(f"mails-{tenant}")


def application(dependency: Callable[..., Any], use: Callable[[Any], Any]) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def endpoint(given: Annotated[Any, Depends(dependency)]) -> Any:
        return await use(given)

    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        yield client


async def parameters(app: FastAPI) -> list[str]:
    """Names of what an HTTP client may pass."""
    async with client_of(app) as client:
        operation = (await client.get("/openapi.json")).json()["paths"]["/"]["get"]
    assert "requestBody" not in operation
    return [parameter["name"] for parameter in operation.get("parameters", [])]


class InheritedConfig(KafkaConfig):
    """A configuration of an application."""

    shop: str = "x"


@pytest.mark.parametrize(
    "dependency",
    [
        EmailPublisher,
        BasePublisher,
        KafkaManager,
        KafkaConfig,
        KafkaEmailCollector,
        InheritedConfig,
        SmtpConfig,
        WorkerConfig,
        EmbeddedBroker,
        CapturedEvents,
        get_kafka_manager,
    ],
)
async def test_no_client_can_pass_anything(dependency: Callable[..., Any]) -> None:
    assert await parameters(application(dependency, lambda given: given)) == []


async def test_a_publisher_publishes_to_its_own_topic() -> None:
    app = application(EmailPublisher, lambda publisher: publisher.publish_welcome_email(ADDRESS, "Ann"))
    async with client_of(app) as client:
        with capture_events():
            assert (await client.get("/?topic=evil")).json()["topic"] == "email-events"


async def test_a_subclass_has_its_own_parameters() -> None:
    app = application(Shop, lambda publisher: publisher.publish_welcome_email(ADDRESS, "Ann"))
    assert await parameters(app) == ["tenant"]
    async with client_of(app) as client:
        with capture_events():
            assert (await client.get("/", headers={"tenant": "a"})).json()["topic"] == "mails-a"


def test_doubles_still_know_the_arguments() -> None:
    create_autospec(EmailPublisher)(topic="x")
    with pytest.raises(TypeError):
        create_autospec(EmailPublisher)(tpoic="x")
    assert list(inspect.signature(EmailPublisher.__init__).parameters) == ["self", "topic"]


async def test_the_manager_is_started_and_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(manager: KafkaManager) -> RecordMetadata:
        assert manager is kafka_manager
        return await manager.send_event("t", {})

    app = application(get_kafka_manager, use)
    async with EmbeddedBroker() as broker, client_of(app) as client:
        monkeypatch.setattr("kafka_email.manager.kafka_config", config_for(broker))
        assert (await client.get("/")).json()["topic"] == "t"
        assert kafka_manager.is_connected
        await kafka_manager.stop()


async def test_an_error_of_the_endpoint_stays_what_it_is() -> None:
    async def use(_: KafkaManager) -> None:
        raise NotStartedError("mine")

    with capture_events():
        async with client_of(application(get_kafka_manager, use)) as client:
            with pytest.raises(NotStartedError, match="mine"):
                await client.get("/")


async def test_a_manager_that_was_not_entered_says_what_to_write() -> None:
    with pytest.raises(AttributeError, match="async with get_kafka_manager"):
        get_kafka_manager().send_event("t", {})  # type: ignore[attr-defined]
    assert get_kafka_manager.__name__ == "get_kafka_manager"
    assert get_kafka_manager.__doc__
    with capture_events():
        async with get_kafka_manager() as manager:
            assert manager is kafka_manager
