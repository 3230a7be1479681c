"""FastAPI with `def` endpoints: they run in threads, and publish without `await`.

Start it with ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 uvicorn examples.fastapi_def:app``.
"""

import secrets
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, EmailStr, Field

from kafka_email.fastapi import add_exception_handlers, health_router, kafka_lifespan
from kafka_email.sync import EmailPublisher

# The lifespan starts the producer on the event loop; the endpoints' threads use the same one, without the loop.
app = FastAPI(title="Shop", lifespan=kafka_lifespan)
app.include_router(health_router)
add_exception_handlers(app)


class Registration(BaseModel):
    email: EmailStr
    username: Annotated[str, Field(pattern=r"^[\w .-]{1,50}$")]


# The thread waits until every in-sync replica has the event: the answer may promise the e-mail.
@app.post("/register", status_code=201)
def register(body: Registration) -> dict[str, str]:
    link = f"https://shop.example.com/verify?token={secrets.token_urlsafe(16)}"
    stored = EmailPublisher().publish_verification_email(
        email=body.email, username=body.username, verification_link=link
    )
    return {"event_id": stored.event_id}


# Where the answer promises nothing, nobody has to wait. A failure is logged, as nobody asks the handle for it.
@app.post("/newsletter", status_code=202)
def subscribe(body: Registration) -> dict[str, str]:
    handle = EmailPublisher().publish_email_nowait("newsletter", body.email, body.username)
    return {"event_id": handle.event_id}
