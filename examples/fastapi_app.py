"""A web application that asks for e-mails through Kafka.

Start it with ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 uvicorn examples.fastapi_app:app``.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, EmailStr, Field

from kafka_email import EmailPublisher, KafkaError, kafka_manager


# One producer for the whole process: connected before the first request, flushed after the last.
@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await kafka_manager.start()
    yield
    await kafka_manager.stop()


app = FastAPI(title="Shop", lifespan=lifespan)


class Registration(BaseModel):
    email: EmailStr
    username: Annotated[str, Field(pattern=r"^[\w .-]{1,50}$")]


class PasswordReset(BaseModel):
    email: EmailStr


# A publisher costs nothing, so each request may have its own.
class AuthService:
    def __init__(self) -> None:
        self.email_publisher = EmailPublisher()

    async def register(self, email: str, username: str) -> str:
        link = f"https://shop.example.com/verify?token={secrets.token_urlsafe(16)}"
        stored = await self.email_publisher.publish_verification_email(
            email=email, username=username, verification_link=link, metadata={"language": "en"}
        )
        return stored.event_id

    async def request_password_reset(self, email: str) -> str:
        link = f"https://shop.example.com/reset?token={secrets.token_urlsafe(16)}"
        stored = await self.email_publisher.publish_password_reset_email(
            email=email, username=email.partition("@")[0], reset_link=link
        )
        return stored.event_id


Auth = Annotated[AuthService, Depends(AuthService)]


# When the await returns, every in-sync replica has the event: the answer may promise the e-mail.
@app.post("/register", status_code=status.HTTP_201_CREATED)
async def register(body: Registration, auth: Auth) -> dict[str, str]:
    return {"event_id": await auth.register(body.email, body.username)}


@app.post("/password-reset", status_code=status.HTTP_202_ACCEPTED)
async def request_password_reset(body: PasswordReset, auth: Auth) -> dict[str, str]:
    return {"event_id": await auth.request_password_reset(body.email)}


# What a publish can fail with has one base class, which says whether trying again may help.
@app.exception_handler(KafkaError)
async def email_service_unavailable(_: Request, error: KafkaError) -> JSONResponse:
    return JSONResponse(
        {"detail": "the e-mail could not be requested", "code": error.code, "retriable": error.retriable},
        status_code=status.HTTP_503_SERVICE_UNAVAILABLE,
    )


@app.get("/health")
async def health(response: Response) -> dict[str, Any]:
    kafka = await kafka_manager.health()
    if not kafka:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"status": "ok" if kafka else "unavailable", "checks": {"kafka": kafka.as_dict()}}
