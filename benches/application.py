"""The FastAPI application of `endpoint.py`; which client publishes stands in the environment, in BENCHES_JOB."""

import importlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

JOB: dict[str, Any] = json.loads(os.environ["BENCHES_JOB"])
state: dict[str, Any] = {"published": 0}


class Registration(BaseModel):
    """The body of a request."""

    email: str
    username: str
    link: str


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if JOB["client"] == "none":
        yield
        return
    client = importlib.import_module(f"benches.clients.{JOB['client']}")
    async with client.connected(JOB["servers"], JOB["topic"], **JOB["settings"]) as publish:
        state["publish"] = publish
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/published")
async def published() -> int:
    """How many publishes succeeded."""
    return int(state["published"])


@app.post("/register")
async def register(registration: Registration) -> dict[str, str]:
    if "publish" in state:
        await state["publish"](registration.email, registration.username, registration.link)
        state["published"] += 1
    return {"status": "accepted"}
