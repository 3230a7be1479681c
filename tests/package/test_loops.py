"""Publishing works from any event loop, whichever one called start()."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI

from kafka_email import kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, in_threads, publish, publishes, usernames


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_one_loop_after_the_other(broker: EmbeddedBroker, run: Any) -> None:
    async def main() -> None:
        await kafka_manager.start(config_for(broker))
        await asyncio.gather(*publishes(10))

    for _ in range(3):
        run(main())
    assert len(usernames(broker)) == 30


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_loop_that_starts_and_stops_and_another_that_does_so_again(broker: EmbeddedBroker, run: Any) -> None:
    async def main() -> None:
        await kafka_manager.start(config_for(broker))
        await publish()
        await kafka_manager.stop()

    for _ in range(3):
        run(main())
    assert len(usernames(broker)) == 3


def test_loops_in_two_threads_while_a_third_has_started(broker: EmbeddedBroker) -> None:
    async def main() -> None:
        await kafka_manager.start(config_for(broker))
        await asyncio.to_thread(in_threads, 2, lambda: asyncio.run(publish_100()))
        await publish()

    async def publish_100() -> None:
        for _ in range(10):
            await asyncio.gather(*publishes(10))

    asyncio.run(main())
    assert len(usernames(broker)) == 201


def test_a_loop_that_starts_and_ends_before_another_publishes(broker: EmbeddedBroker) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(kafka_manager.start(config_for(broker))))
    thread.start()
    thread.join()
    assert asyncio.run(publish()).offset == 0


def test_asyncio_and_uvloop_at_once(broker: EmbeddedBroker) -> None:
    runners = iter([asyncio.run, uvloop.run])

    async def main() -> None:
        await kafka_manager.start(config_for(broker))
        await asyncio.gather(*publishes(50))

    in_threads(2, lambda: next(runners)(main()))
    assert len(usernames(broker)) == 100


def test_a_loop_closed_with_events_under_way_leaves_them_to_be_delivered_in_silence(
    broker: EmbeddedBroker, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        await kafka_manager.start(config_for(broker))
        await publish("before")
        broker.round_trip_ms = 100
        publishes(5)
        await asyncio.sleep(0.01)

    async def stop() -> None:
        report = await kafka_manager.stop()
        assert (report.delivered, report.failed) == (5, 0)

    asyncio.run(leave())
    asyncio.run(stop())
    broker.round_trip_ms = 0
    assert usernames(broker) == ["before", "0", "1", "2", "3", "4"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_another_loop_does_not_notice_the_end_of_the_first(broker: EmbeddedBroker) -> None:
    async def leave() -> None:
        await kafka_manager.start(config_for(broker))
        await publish()

    async def work() -> None:
        for _ in range(20):
            await asyncio.to_thread(asyncio.run, leave())
            await publish()

    asyncio.run(work())
    assert len(usernames(broker)) == 40


def test_debug_mode_finds_nothing(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 5  # making tasks is slow in debug mode: that is no finding
        await kafka_manager.start(config_for(broker))
        await asyncio.gather(*publishes(100))
        await kafka_manager.stop()

    asyncio.run(main(), debug=True)
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"]


CORE = ("awaiting", "cancellation", "queue", "start", "stop")


@pytest.mark.timeout(300)
def test_the_core_on_loops_without_add_reader() -> None:
    """Windows' Proactor loop has none; everything else of these tests is as it always is."""
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in CORE]
    options = ["-q", "-p", "support.package.proactor", "-p", "no:cacheprovider", "-k", "not uvloop"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 60


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")
def test_an_application_started_twice_in_one_process(broker: EmbeddedBroker) -> None:
    from fastapi.testclient import TestClient  # here, where its warning is expected

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        await kafka_manager.start(config_for(broker))
        yield
        await kafka_manager.stop()

    app = FastAPI(lifespan=lifespan)

    @app.post("/register")
    async def register() -> int:
        return (await publish()).offset

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"connected": kafka_manager.is_connected, **(await kafka_manager.health()).as_dict()}

    for offset in (0, 2):
        with TestClient(app) as client:
            assert [client.post("/register").json() for _ in range(2)] == [offset, offset + 1]
            assert client.get("/health").json()["connected"] is True
        assert not kafka_manager.is_connected
