"""FastAPI: a lifespan, a dependency, health routes and responses to errors. Needs the extra ``fastapi``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from kafka_email.exceptions import KafkaError
from kafka_email.manager import kafka_manager
from kafka_email.producers.email_publisher import EmailPublisher
from kafka_email.worker import Worker

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response, status
    from fastapi.responses import JSONResponse
except ImportError as missing:
    raise ImportError("kafka_email.fastapi needs FastAPI: pip install 'kafka-email[fastapi]'") from missing

from pydantic import BeforeValidator

if TYPE_CHECKING:
    from kafka_email.config import KafkaConfig

__all__ = [
    "EmailPublisherDep",
    "add_exception_handlers",
    "email_lifespan",
    "email_publisher",
    "health_router",
    "kafka_lifespan",
]

_running: list[FastAPI] = []


@asynccontextmanager
async def kafka_lifespan(app: FastAPI, config: KafkaConfig | None = None) -> AsyncIterator[None]:
    """Start the manager with the application and stop it, flushing, with the last application that uses it.

    Use it as it is, ``FastAPI(lifespan=kafka_lifespan)``, or inside a lifespan of your own:
    ``async with kafka_lifespan(app):``.

    Args:
        app: The application.
        config: The configuration; ``kafka_config`` when None.

    Raises:
        RuntimeError: This application is inside a ``kafka_lifespan`` already.
        KafkaError: As :meth:`kafka_email.KafkaManager.start`.
    """
    if any(other is app for other in _running):
        raise RuntimeError("this application is inside a kafka_lifespan already: take one of the two out")
    _running.append(app)
    try:
        await kafka_manager.start(config)
        yield
    finally:
        _running.remove(app)
        if not _running:
            await kafka_manager.stop()


@asynccontextmanager
async def email_lifespan(
    app: FastAPI, worker: Worker | None = None, config: KafkaConfig | None = None
) -> AsyncIterator[None]:
    """Start the manager and a delivery worker with the application, and stop both with it.

    Use it as it is, ``FastAPI(lifespan=email_lifespan)``, or inside a lifespan of your own:
    ``async with email_lifespan(app, worker):``. Each process of the application has a worker then.

    Args:
        app: The application.
        worker: The worker; ``Worker(kafka=config)``, configured by the environment, when None.
        config: The configuration of the manager; ``kafka_config`` when None.

    Raises:
        RuntimeError: As :func:`kafka_lifespan`.
        KafkaError: As :meth:`kafka_email.KafkaManager.start` and :meth:`kafka_email.worker.Worker.start`.
        pydantic.ValidationError: The environment is not valid.
    """
    async with kafka_lifespan(app, config), worker or Worker(kafka=config):
        yield


def email_publisher() -> EmailPublisher:
    """Make a publisher. Tests replace this function: ``app.dependency_overrides[email_publisher] = …``."""
    return EmailPublisher()


EmailPublisherDep = Annotated[EmailPublisher, Depends(email_publisher)]
"""Annotation of a parameter that is to be a publisher."""

health_router = APIRouter(tags=["health"])
"""``/livez`` and ``/readyz``, as Kubernetes names them; ``include_router`` takes a prefix."""

# Kubernetes uses `?verbose` without a value: that counts as true.
_Verbose = Annotated[bool, BeforeValidator(lambda given: given == "" or given)]


@health_router.get("/livez")
async def livez() -> dict[str, str]:
    """Answer that the process is alive. Kafka is not checked: a restart of this process would not bring it back."""
    return {"status": "ok"}


@health_router.get("/readyz", responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"description": "Kafka is out of reach"}})
async def readyz(response: Response, verbose: _Verbose = False) -> dict[str, Any]:
    """Answer 200 or 503: whether events can be published. Only ``?verbose`` asks Kafka, and returns details.

    The details name the brokers; they hold no secret.
    """
    is_ready = kafka_manager.is_connected
    if not is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    body: dict[str, Any] = {"status": "ok" if is_ready else "unavailable"}
    if verbose:
        body["checks"] = {"kafka": (await kafka_manager.health()).as_dict()}
    return body


def add_exception_handlers(app: FastAPI, *, retry_after_s: int = 5) -> None:
    """Answer with 503 and ``Retry-After`` where trying again may help; other errors stay what they are, a 500.

    The body has the error's ``code``, and ``maybe_delivered``: whether the event may be stored all the same.

    Args:
        app: The application.
        retry_after_s: Seconds after which a client may try again.
    """

    async def unavailable(_: Request, error: Exception) -> Response:
        if not isinstance(error, KafkaError) or not error.retriable:
            raise error
        body = {"detail": "the e-mail could not be requested", "code": error.code}
        return JSONResponse(
            body | {"maybe_delivered": error.maybe_delivered},
            status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(retry_after_s)},
        )

    app.add_exception_handler(KafkaError, unavailable)
