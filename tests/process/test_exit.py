"""The end of a process: no crash, no hang, no traceback, whatever was left behind; each case many times."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.package.process import Finished, assert_clean, run_script

RUNS = int(os.environ.get("KAFKA_EMAIL_EXIT_RUNS", "10"))

PREAMBLE = """
import asyncio, sys, threading
from kafka_email import KafkaConfig, kafka_manager
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import config_for, eventually, in_threads, native_threads, publish, publishes, usernames

broker = EmbeddedBroker().start()
config = config_for(broker, request_timeout_ms=10_000)

async def start_and_publish():
    await kafka_manager.start(config)
    await publish()
"""

CASES = {
    "one await": "asyncio.run(start_and_publish())",
    "events under way": """
async def main():
    await kafka_manager.start(config)
    tasks = publishes(100)
    await asyncio.sleep(0)
asyncio.run(main())
""",
    "a loop left open": """
loop = asyncio.new_event_loop()
loop.run_until_complete(start_and_publish())
""",
    "a loop left open, events under way": """
loop = asyncio.new_event_loop()
loop.run_until_complete(start_and_publish())
broker.round_trip_ms = 50
async def begin():
    global tasks
    tasks = publishes(20)
    await asyncio.sleep(0)
loop.run_until_complete(begin())
for task in tasks: task._log_destroy_pending = False  # of asyncio's own complaint
""",
    "stop last": """
async def main():
    await start_and_publish()
    await kafka_manager.stop()
    await eventually(lambda: not {"kafka-email", "kafka-email-pol", "kafka-email-wai"} & native_threads().keys(), 3)
asyncio.run(main())
""",
    "three loops, a stop, and a start again": """
for _ in range(3):
    asyncio.run(start_and_publish())
asyncio.run(kafka_manager.stop())
asyncio.run(start_and_publish())
""",
    "uvloop": """
import uvloop
async def main():
    await kafka_manager.start(config)
    await asyncio.gather(*publishes(300))
uvloop.run(main())
""",
    "threads": """
async def publish_100():
    for _ in range(100):
        await publish()
asyncio.run(start_and_publish())
in_threads(4, lambda: asyncio.run(publish_100()))
assert len(usernames(broker)) == 401
""",
    "a daemon thread that publishes on": """
asyncio.run(start_and_publish())
published = threading.Event()
async def publish_on():
    while True:
        try:
            await publish()
        except RuntimeError:
            return
        published.set()
threading.Thread(target=lambda: asyncio.run(publish_on()), daemon=True).start()
published.wait(10)
""",
    "start abandoned": """
async def main():
    task = asyncio.create_task(kafka_manager.start(KafkaConfig(bootstrap_servers="127.0.0.1:1")))
    await asyncio.sleep(0.05)
    task.cancel()
asyncio.run(main())
""",
    "log lines of librdkafka": """
import logging
logging.getLogger("kafka_email").addHandler(logging.NullHandler())
logging.getLogger("kafka_email").setLevel(logging.DEBUG)
logging.getLogger("kafka_email").propagate = False
config.producer_options = {"debug": "all"}
asyncio.run(start_and_publish())
""",
    "sys.exit in a task": """
async def leave():
    await start_and_publish()
    sys.exit(0)
asyncio.run(leave())
""",
    "events under way in a capture that is never closed": """
capture = capture_events()
async def main():
    await kafka_manager.start(config)
    tasks = publishes(100)
    await asyncio.sleep(0)
    capture.__enter__()
    await publish()
asyncio.run(main())
""",
    "a token is on its way": """
import logging
logging.getLogger("kafka_email").addHandler(logging.NullHandler())
logging.getLogger("kafka_email").propagate = False  # nobody is there who takes tokens
from kafka_email import OAuthToken
asked = threading.Event()
async def provider():
    if kafka_manager.config.sasl_oauth_token_provider is provider:  # not for the start
        asked.set()
        await asyncio.sleep(60)
    return OAuthToken("token", 1)
sasl = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
asyncio.run(kafka_manager.start(config_for(broker, required=False, security_protocol="SASL_PLAINTEXT", **sasl)))
asked.wait(10)
""",
    "tokens are renewed all the time": """
import logging
from unittest import mock
logging.getLogger("kafka_email").addHandler(logging.NullHandler())
logging.getLogger("kafka_email").propagate = False
from kafka_email import OAuthToken, _token
async def provider():
    await asyncio.sleep(0)
    return OAuthToken("token", 1)
sasl = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
with mock.patch.object(_token, "_SHORTEST_PAUSE_S", 0.0), mock.patch.object(_token, "_RENEW_AT", 0.0001):
    asyncio.run(kafka_manager.start(config_for(broker, required=False, security_protocol="SASL_PLAINTEXT", **sasl)))
    sys.exit(0)
""",
    "sys.exit in a capture": """
with capture_events():
    asyncio.run(publish())
    sys.exit(0)
""",
    "the package loaded again": """
import importlib, kafka_email
asyncio.run(start_and_publish())
for module in (kafka_email.manager, kafka_email.producers.email_publisher, kafka_email):
    importlib.reload(module)
asyncio.run(kafka_email.kafka_manager.start(config))
asyncio.run(publish())
""",
    "imported only": "",
    "capture_events left open": """
from kafka_email.testing import capture_events
capturing = sys.capturing = capture_events()  # in a module that outlives this one
capturing.__enter__()
asyncio.run(publish())
""",
    "capture_events left open in a thread": """
from kafka_email.testing import capture_events
asyncio.run(start_and_publish())
captured = threading.Event()
def capture():
    with capture_events():
        captured.set()
        threading.Event().wait()
threading.Thread(target=capture, daemon=True).start()
captured.wait(10)
""",
}


@pytest.mark.timeout(30 + 3 * RUNS)
@pytest.mark.parametrize("case", CASES)
def test_exit(case: str) -> None:
    with ThreadPoolExecutor(2) as two:
        for finished in two.map(run_script, [PREAMBLE + CASES[case]] * RUNS):
            assert_clean(finished)


def test_the_import_starts_no_thread_and_opens_no_file() -> None:
    script = """
import os, threading
import pydantic_settings, email_validator
before = os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")
import kafka_email
assert (os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")) == before
"""
    assert_clean(run_script(script))


def test_before_the_first_start_publishing_says_what_to_do() -> None:
    script = """
import asyncio
from kafka_email import EmailPublisher, NotStartedError, kafka_manager
async def main():
    try:
        await EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
    except NotStartedError as error:
        print(error.code, error)
    print((await kafka_manager.health()).last_error)
asyncio.run(main())
"""
    first, second = assert_clean(run_script(script)).splitlines()
    assert first.startswith("NOT_STARTED ")
    assert "await kafka_manager.start()" in first
    assert second == first.removeprefix("NOT_STARTED ")


@pytest.mark.parametrize("case", ["events under way", "events under way in a capture that is never closed"])
def test_events_that_are_queued_are_delivered_at_the_exit(case: str) -> None:
    script = (
        """
import atexit
@atexit.register  # before the import of the package registers its flush, so that it runs after that
def report(): print(len(usernames(broker)))
"""
        + PREAMBLE
        + "config.batching, config.linger_ms = 'linger', 400  # without a flush they would still wait\n"
        + CASES[case]
    )
    assert assert_clean(run_script(script)) == "100\n"


UNDELIVERABLE = """
async def publish_in_vain():
    await start_and_publish()
    broker.broker_down()
    tasks = publishes(3)
    await asyncio.sleep(0.01)
"""

SIGNAL_IN_THE_FLUSH = """
import os, signal
config.exit_flush_timeout_ms = config.request_timeout_ms = 60_000

def send_when_it_flushes(number):
    main = threading.main_thread()
    while "kafka_email/_life.py" not in sys._current_frames()[main.ident].f_code.co_filename:
        pass
    os.kill(os.getpid(), number)

def send(number):
    threading.Thread(target=send_when_it_flushes, args=[number], daemon=True).start()
"""


def assert_three_lost(finished: Finished) -> None:
    assert finished.code == 0
    (line,) = finished.err.splitlines()
    assert line.startswith("3 events were lost")


def test_events_that_cannot_be_delivered_at_the_exit_are_counted_in_a_warning() -> None:
    settings = "config.exit_flush_timeout_ms, config.request_timeout_ms = 500, 20_000"
    assert_three_lost(run_script(f"{PREAMBLE}{UNDELIVERABLE}{settings}\nasyncio.run(publish_in_vain())"))


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_wait_for_the_flush(number: str) -> None:
    script = f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
asyncio.run(publish_in_vain())
send(signal.{number})
"""
    assert_three_lost(run_script(PREAMBLE + UNDELIVERABLE + SIGNAL_IN_THE_FLUSH + script))


def test_a_signal_handler_runs_during_the_flush() -> None:
    script = """
signal.signal(signal.SIGUSR1, lambda *_: broker.broker_up())
asyncio.run(publish_in_vain())
send(signal.SIGUSR1)
"""
    assert_clean(run_script(PREAMBLE + UNDELIVERABLE + SIGNAL_IN_THE_FLUSH + script))


def test_an_exception_in_main_is_all_there_is_to_see() -> None:
    finished = run_script(PREAMBLE + "asyncio.run(start_and_publish())\nraise SystemError('of the application')")
    assert finished.code == 1
    assert finished.err.splitlines()[0].startswith("Traceback")
    assert finished.err.splitlines()[-1] == "SystemError: of the application"
    assert finished.err.count("Traceback") == 1


def test_the_exit_code_of_the_application_is_kept() -> None:
    finished = run_script(PREAMBLE + "asyncio.run(start_and_publish())\nsys.exit(3)")
    assert_clean(finished, 3)
