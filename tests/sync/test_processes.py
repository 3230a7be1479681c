"""Publishing without an event loop, from processes of every kind: the first publish of each starts its producer."""

from pathlib import Path

import pytest

from kafka_email.testing import EmbeddedBroker
from support.package.process import assert_clean, finish, process, run_script

PREAMBLE = r"""
import asyncio, multiprocessing, os, signal, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor
import kafka_email
from kafka_email import ConfigurationError, ProducerClosedError
from kafka_email.sync import EmailPublisher, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import ADDRESS, native_threads, usernames

# CPython's own, from 3.12 on, about any process that forks and has threads.
warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)

def publish(name):
    return EmailPublisher().publish_welcome_email(ADDRESS, str(name))

def publish_nowait(name):
    EmailPublisher().publish_welcome_email_nowait(ADDRESS, str(name))

def broker_in_use():
    broker = EmbeddedBroker().start()
    os.environ["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
    return broker

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_the_first_publishes_of_many_threads_start_one_producer() -> None:
    script = """
broker = broker_in_use()
threads = [threading.Thread(target=publish, args=(number,)) for number in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(usernames(broker)), native_threads()["kafka-email"])
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["32", "1"]


def test_a_script_needs_neither_start_nor_stop() -> None:
    script = """
for number in range(100): publish_nowait(number)
"""
    with EmbeddedBroker(round_trip_ms=100) as broker:
        servers = broker.bootstrap_servers
        with process(["-c", PREAMBLE + script], KAFKA_BOOTSTRAP_SERVERS=servers) as started:
            assert_clean(finish(started))
        assert len(broker.records("email-events")) == 100


def test_a_forked_child_starts_its_own() -> None:
    script = """
broker = broker_in_use()
publish("parent")
def child():
    assert not kafka_manager.is_connected
    publish("child")
    publish_nowait("last act")
print(fork(child))
publish("parent again")
print(*sorted(usernames(broker)))
"""
    out = assert_clean(run_script(PREAMBLE + script)).splitlines()
    assert out == ["0", "child last act parent parent again"]


def test_a_handle_of_the_parent_says_so_in_a_child() -> None:
    script = """
broker = broker_in_use()
publish("parent")
broker.round_trip_ms = 1000
handle = EmailPublisher().publish_welcome_email_nowait(ADDRESS, "pending")
def child():
    try:
        handle.result()
    except kafka_email.NotStartedError as error:
        print("fork" in str(error), flush=True)
print(fork(child))
print(handle.result().topic)
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["True", "0", "email-events"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_no_event_is_lost_at_the_end_of_a_child_of_multiprocessing(method: str, tmp_path: Path) -> None:
    module = tmp_path / "children.py"
    module.write_text(PREAMBLE)
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from children import *
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    broker = broker_in_use()
    if {method!r} == "fork":
        publish("parent")
    children = [context.Process(target=publish_nowait, args=(number,)) for number in range(6)]
    for child in children: child.start()
    for child in children: child.join()
    print([child.exitcode for child in children] == [0] * 6, len(set(usernames(broker)) - {{"parent"}}))
"""
    main = tmp_path / "main.py"
    main.write_text(script)
    with process([str(main)]) as started:
        assert assert_clean(finish(started, 60)).split() == ["True", "6"]


def test_after_a_stop_there_is_no_automatic_start() -> None:
    script = """
broker = broker_in_use()
kafka_manager.stop()
publish(1)
kafka_manager.stop()
for call in (publish, publish_nowait):
    try:
        call(2)
    except ProducerClosedError as error:
        print("start()" in str(error))
kafka_manager.start()
publish(3)
print(*usernames(broker))
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["True", "True", "1", "3"]


def test_mistakes_in_the_configuration_are_raised_at_once_and_mended_without_a_restart() -> None:
    script = """
broker = broker_in_use()
os.environ["KAFKA_BOOTSTRAP_SERVERS"] = "no port at all:x"
began = time.monotonic()
try:
    publish(1)
except ValueError as error:
    print(type(error).__name__)
os.environ["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
os.environ["KAFKA_PRODUCER_OPTIONS"] = '{"no.such.property": "1"}'
try:
    publish(1)
except ConfigurationError as error:
    print("no.such.property" in str(error), time.monotonic() - began < 3)
time.sleep(1.1)  # so long a failure lasts
kafka_email.kafka_config.producer_options = {}
print(publish(2).topic)
"""
    finished = run_script(PREAMBLE + script)
    assert (finished.code, finished.out.split()) == (0, ["ValidationError", "True", "True", "email-events"])
    assert "failed: producer_options: librdkafka has no property" in finished.err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_exception_of_a_signal_handler_ends_the_wait_and_the_event_is_stored(name: str) -> None:
    script = f"""
broker = broker_in_use()
publish("first")
broker.round_trip_ms = 1500
class Ended(BaseException): pass
def handler(*_): raise Ended
if {name!r} == "SIGTERM": signal.signal(signal.SIGTERM, handler)
def send():
    global sent
    time.sleep(0.3)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.{name})
threading.Thread(target=send).start()
try:
    publish("interrupted")
except (KeyboardInterrupt, Ended) as error:
    print(type(error).__name__, time.monotonic() - sent < 0.4)
broker.round_trip_ms = 0
broker.wait_for(2, "email-events")
print(*usernames(broker))
"""
    expected = "KeyboardInterrupt" if name == "SIGINT" else "Ended"
    assert assert_clean(run_script(PREAMBLE + script)).split() == [expected, "True", "first", "interrupted"]


def test_a_thread_that_counts_runs_on_while_others_wait() -> None:
    script = """
broker = broker_in_use()
publish("first")
broker.round_trip_ms = 2000
threads = [threading.Thread(target=publish, args=(number,)) for number in range(16)]
for thread in threads: thread.start()
time.sleep(0.2)
began, count = time.process_time(), 0
while count < 1_000_000: count += 1
print(all(thread.is_alive() for thread in threads))
for thread in threads: thread.join()
"""
    assert assert_clean(run_script(PREAMBLE + script)) == "True\n"


def test_gevent_runs_other_greenlets_while_one_waits() -> None:
    script = """
import gevent
broker = broker_in_use()
publish("first")
broker.round_trip_ms = 500
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1
ticker = gevent.spawn(tick)
waiting = [gevent.spawn(publish, number) for number in range(5)]
gevent.joinall(waiting, raise_error=True)
handle = EmailPublisher().publish_welcome_email_nowait(ADDRESS, "future")
print(handle.as_future().result(10).topic)
ticker.kill()
print(ticks > 20, len(usernames(broker)))
kafka_manager.stop()
"""
    patched = "import gevent.monkey; gevent.monkey.patch_all()\n"
    assert assert_clean(run_script(patched + PREAMBLE + script)).split() == ["email-events", "True", "7"]
