"""A small application, as uvicorn serves it in test_server.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from kafka_email import kafka_manager
from support.package.embedded import eventually, native_threads, publish


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await kafka_manager.start()
    print("started", flush=True)
    yield
    report = await kafka_manager.stop()
    await eventually(lambda: not native_threads(), 3)
    print(f"stopped: {report.failed} failed", flush=True)


app = FastAPI(lifespan=lifespan)


@app.post("/register")
async def register(name: str) -> int:
    return (await publish(name)).offset


@app.get("/health")
async def health() -> bool:
    return kafka_manager.is_connected
