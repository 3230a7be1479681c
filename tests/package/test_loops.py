"""Publishing works from any event loop, whichever one called start()."""

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI

from kafka_email import KafkaError, ProducerFatalError, kafka_manager
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import config_for, eventually, in_threads, publish, publishes, usernames
from support.package.process import assert_clean, run_script


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


DROPPED = """
import asyncio, gc, logging, resource, warnings
from kafka_email import EmailPublisher, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, open_files, publish, publishes

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
warnings.simplefilter("ignore", ResourceWarning)
logging.getLogger("asyncio").disabled = True  # it names each task that is left behind

async def job():
    await publish()

async def careless_job():
    await publish()
    publishes(3)
    event = {"email_type": "welcome", "recipient": "ann@gmail.com", "username": "Ann"}
    asyncio.create_task(EmailPublisher().publish_many([event] * 3))
    await asyncio.sleep(0)

with EmbeddedBroker() as broker:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(kafka_manager.start(config_for(broker)))
    before = open_files()
    for _ in range(150):
        asyncio.new_event_loop().run_until_complete(job())
        asyncio.new_event_loop().run_until_complete(careless_job())
    gc.collect()
    loop.run_until_complete(kafka_manager.health())
    print(open_files() - before)
    report = loop.run_until_complete(kafka_manager.stop())
    print(report.failed, len(broker.records("email-events")))
    loop.close()
"""


def test_loops_that_nobody_closes_keep_nothing() -> None:
    """A loop for each job, dropped after it, with events under way or without."""
    assert assert_clean(run_script(DROPPED)) == "0\n0 1200\n"


LEFT = """
import asyncio, threading, uvloop, warnings
from kafka_email import kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, open_files, publish

warnings.simplefilter("ignore", ResourceWarning)

def run(job):
    uvloop.new_event_loop().run_until_complete(job())

async def nothing():
    pass

def opened_by(job):
    before = open_files()
    for _ in range(50):
        if in_threads:
            thread = threading.Thread(target=run, args=(job,))
            thread.start()
            thread.join()
        else:
            run(job)
    return open_files() - before

with EmbeddedBroker() as broker:
    asyncio.run(kafka_manager.start(config_for(broker)))
    by_uvloop = opened_by(nothing)
    asyncio.run(publish())
    by_both = opened_by(publish)
    # The mailbox of the last job is open; that of the one before may be, for a thread ends a little later than `join`.
    print(by_both - by_uvloop <= 2 * (1 + in_threads), len(broker.records("email-events")))
    asyncio.run(kafka_manager.stop())
"""


@pytest.mark.parametrize("in_threads", [False, True])
def test_loops_of_uvloop_that_nobody_closes_keep_only_what_uvloop_leaks(in_threads: bool) -> None:
    assert assert_clean(run_script(f"in_threads = {in_threads}\n{LEFT}")) == "True 51\n"


def test_a_loop_that_rests_may_go_on(broker: EmbeddedBroker) -> None:
    """It is not to be known whether it is left: another loop of its thread publishes meanwhile."""
    first, second = uvloop.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(kafka_manager.start(config_for(broker)))
    broker.round_trip_ms = 200
    under_way = first.create_task(publish("under way"))
    first.run_until_complete(asyncio.sleep(0.01))
    for name in ("0", "1"):
        second.run_until_complete(publish(name))
        first.run_until_complete(publish(name))
    assert first.run_until_complete(under_way).topic == "email-events"
    assert len(usernames(broker)) == 5
    first.close()
    second.close()


def test_debug_mode_finds_nothing(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 5  # making tasks is slow in debug mode: that is no finding
        await kafka_manager.start(config_for(broker))
        await asyncio.gather(*publishes(100))
        await kafka_manager.stop()

    asyncio.run(main(), debug=True)
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"]


@pytest.fixture
def life_cycle() -> Iterator[list[str]]:
    """Names of the events of the life cycle that are logged, as they are."""
    names: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            names.append(record.kafka_email_event)

    logger, handler = logging.getLogger("kafka_email.manager"), Handler()
    logger.addHandler(handler)
    yield names
    logger.removeHandler(handler)


async def lose_client(broker: EmbeddedBroker, names: list[str]) -> None:
    """Lets the native half log that a client died, and waits for the line."""
    broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER")
    with pytest.raises(ProducerFatalError):
        await publish()
    await eventually(lambda: names == ["producer_rebuilt"], 8)


def test_lines_are_logged_after_another_loop_is_over(broker: EmbeddedBroker, life_cycle: list[str]) -> None:
    async def main() -> None:
        await kafka_manager.start(config_for(broker))
        await asyncio.to_thread(asyncio.run, publish())
        await lose_client(broker, life_cycle)

    asyncio.run(main())


def test_lines_are_logged_after_the_first_loop_is_over(broker: EmbeddedBroker, life_cycle: list[str]) -> None:
    async def main() -> None:
        await publish()
        await lose_client(broker, life_cycle)

    asyncio.run(kafka_manager.start(config_for(broker)))
    asyncio.run(main())


def test_lines_are_logged_while_the_first_loop_rests(broker: EmbeddedBroker, life_cycle: list[str]) -> None:
    async def main() -> None:
        await publish()
        await lose_client(broker, life_cycle)

    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(kafka_manager.start(config_for(broker)))
        asyncio.run(main())
    finally:
        first.close()


def test_a_line_waits_for_the_next_loop(broker: EmbeddedBroker, life_cycle: list[str]) -> None:
    """A loop for each call: in between none runs that could write."""
    asyncio.run(kafka_manager.start(config_for(broker, request_timeout_ms=1000)))
    broker.broker_down()
    while kafka_manager.is_connected:
        time.sleep(0.01)
    assert not life_cycle
    with pytest.raises(KafkaError):
        asyncio.run(publish())
    assert life_cycle == ["kafka_unreachable"]


def outside_of_asyncio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine as far as it comes without any event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    finally:
        coroutine.close()
    raise AssertionError("it waits for something")


def test_without_asyncio_the_error_says_what_is_missing(broker: EmbeddedBroker) -> None:
    """As in trio, or in a plain function."""
    with pytest.raises(RuntimeError, match="needs a running event loop of asyncio"):
        outside_of_asyncio(kafka_manager.start(config_for(broker)))
    asyncio.run(kafka_manager.start(config_for(broker)))
    for coroutine in (publish(), kafka_manager.send_event("topic", {}), kafka_manager.stop()):
        with pytest.raises(RuntimeError, match="needs a running event loop of asyncio"):
            outside_of_asyncio(coroutine)
    health = outside_of_asyncio(kafka_manager.health())
    assert not health
    assert "needs a running event loop of asyncio" in health.last_error
    assert asyncio.run(publish("still there")).offset == 0
    asyncio.run(kafka_manager.stop())
    assert outside_of_asyncio(kafka_manager.stop()).delivered == 0
    with capture_events() as captured:
        with pytest.raises(RuntimeError, match="needs a running event loop of asyncio"):
            outside_of_asyncio(publish())
        assert not captured.events


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
