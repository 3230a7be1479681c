"""The parts of a FastAPI application that the package brings along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import FastAPI

from kafka_email import AuthorizationError, EmailPublisher, KafkaTimeoutError, kafka_manager
from kafka_email.fastapi import (
    EmailPublisherDep,
    add_exception_handlers,
    email_lifespan,
    email_publisher,
    health_router,
    kafka_lifespan,
)
from kafka_email.testing import EmbeddedBroker, SmtpSink, capture_events
from kafka_email.worker import Context, EmailEvent, Mail, Worker
from support.package.embedded import ADDRESS, TOPIC, eventually
from support.package.working import smtp_config, worker_config

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")


def application(**options: Any) -> FastAPI:
    app = FastAPI(lifespan=kafka_lifespan, **options)
    app.include_router(health_router)
    add_exception_handlers(app, retry_after_s=7)

    @app.post("/register")
    async def register(publisher: EmailPublisherDep) -> int:
        return (await publisher.publish_welcome_email(ADDRESS, "Ann")).offset

    return app


@pytest.fixture
def client_of() -> Any:
    from fastapi.testclient import TestClient  # here, where its warning is expected

    return TestClient


def test_an_application_publishes_and_stops(kafka_broker: EmbeddedBroker, client_of: Any) -> None:
    app = application()
    for offset in (0, 1):
        with client_of(app) as client:
            assert client.post("/register").json() == offset
        assert not kafka_manager.is_connected
    assert len(kafka_broker.wait_for(2)) == 2


def test_a_lifespan_of_ones_own_takes_a_configuration(kafka_broker: EmbeddedBroker, client_of: Any) -> None:
    from kafka_email import KafkaConfig

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with kafka_lifespan(app, KafkaConfig(email_topic="mails")):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/")
    async def post(publisher: EmailPublisherDep) -> str:
        return (await publisher.publish_welcome_email(ADDRESS, "Ann")).topic

    with client_of(app) as client:
        assert client.post("/").json() == "mails"


def test_two_lifespans_in_one_application(kafka_broker: EmbeddedBroker, client_of: Any) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with kafka_lifespan(app), kafka_lifespan(app):
            yield

    with pytest.raises(RuntimeError, match="take one of the two out"), client_of(FastAPI(lifespan=lifespan)):
        pass
    assert not kafka_manager.is_connected


async def test_the_last_of_two_applications_stops_the_manager(kafka_broker: EmbeddedBroker) -> None:
    async with kafka_lifespan(FastAPI()):
        async with kafka_lifespan(FastAPI()):
            pass
        assert kafka_manager.is_connected
        await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
    assert not kafka_manager.is_connected


def test_the_publisher_can_be_overridden(client_of: Any) -> None:
    app = application()
    double = AsyncMock(spec=EmailPublisher)
    double.publish_welcome_email.return_value.offset = 42
    app.dependency_overrides[email_publisher] = lambda: double
    assert client_of(app).post("/register").json() == 42
    double.publish_welcome_email.assert_awaited_once_with(ADDRESS, "Ann")


async def test_health_routes_follow_the_cluster(kafka_broker: EmbeddedBroker, client_of: Any) -> None:
    app = application()
    async with kafka_lifespan(app):
        client = client_of(app)
        assert client.get("/livez").json() == client.get("/readyz").json() == {"status": "ok"}
        for query in ("?verbose", "?verbose=1", "?verbose=true"):
            details = client.get("/readyz" + query).json()["checks"]["kafka"]
            assert (details["healthy"], details["topic"]) == (True, TOPIC)
        assert "checks" not in client.get("/readyz?verbose=false").json()
        kafka_broker.broker_down()
        await eventually(lambda: client.get("/readyz").status_code == 503, 15)
        assert client.get("/readyz").json() == {"status": "unavailable"}
        assert client.get("/livez").status_code == 200
        kafka_broker.broker_up()
        await eventually(lambda: client.get("/readyz").status_code == 200, 15)


def test_errors_that_pass_are_503(client_of: Any) -> None:
    client = client_of(application(), raise_server_exceptions=False)
    with capture_events() as captured:
        captured.fail_with(KafkaTimeoutError("slow", code="REQUEST_TIMED_OUT", retriable=True, maybe_delivered=True))
        answer = client.post("/register")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert answer.json() == {
            "detail": "the e-mail could not be requested",
            "code": "REQUEST_TIMED_OUT",
            "maybe_delivered": True,
        }
        captured.fail_with(AuthorizationError("no", code="TOPIC_AUTHORIZATION_FAILED"))
        assert client.post("/register").status_code == 500


def test_an_application_publishes_and_delivers(
    kafka_broker: EmbeddedBroker, sink: SmtpSink, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka_broker.create_topic(TOPIC, 1)
    given = {"SMTP_HOST": sink.host, "SMTP_PORT": str(sink.port), "SMTP_SECURITY": "none"}
    for name, value in {**given, "KAFKA_WORKER_FROM_ADDRESS": "shop@example.com"}.items():
        monkeypatch.setenv(name, value)
    app = FastAPI(lifespan=email_lifespan)

    @app.post("/register")
    async def register(publisher: EmailPublisherDep) -> str:
        return (await publisher.publish_welcome_email(ADDRESS, "Ann")).event_id

    with client_of(app) as client:
        event_id = client.post("/register").json()
        (mail,) = sink.wait_for(1, 15)
        assert (mail.event_id, mail.recipients) == (event_id, (ADDRESS,))
    assert not kafka_manager.is_connected


def test_a_lifespan_of_ones_own_takes_a_worker_whose_handlers_run_on_the_loop_of_the_application(
    kafka_broker: EmbeddedBroker, sink: SmtpSink, client_of: Any
) -> None:
    kafka_broker.create_topic(TOPIC, 1)
    worker = Worker(worker_config(), smtp=smtp_config(sink))
    loops: list[asyncio.AbstractEventLoop] = []

    @worker.handler("welcome")
    async def welcome(event: EmailEvent, context: Context) -> Mail:
        loops.append(asyncio.get_running_loop())
        return Mail("Hello from the handler", text=event.username)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with email_lifespan(app, worker):
            loops.append(asyncio.get_running_loop())
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/register")
    async def register(publisher: EmailPublisherDep) -> bool:
        await publisher.publish_welcome_email(ADDRESS, "Ann")
        return bool(await worker.health())

    with client_of(app) as client:
        client.post("/register")
        (mail,) = sink.wait_for(1, 15)
        assert mail.subject == "Hello from the handler"
        assert client.post("/register").json() is True
    assert asyncio.run(worker.wait_ended()).how == "drained"
    assert len(set(loops)) == 1
    assert not kafka_manager.is_connected
