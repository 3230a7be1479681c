"""A forked child has its parent's manager but none of its threads."""

import pytest

from support.package.process import assert_clean, run_script

PREAMBLE = r"""
import asyncio, multiprocessing, os, sys, warnings
from kafka_email import KafkaConfig, NotStartedError, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import publish, usernames

def start(servers):
    return kafka_manager.start(KafkaConfig(bootstrap_servers=servers, request_timeout_ms=3000))

async def start_and_publish(servers):
    await start(servers)
    await publish(str(os.getpid()))

def work(servers):
    asyncio.run(start_and_publish(servers))

# CPython's own, from 3.12 on, about any process that forks and has threads.
warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(child())
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_after_the_start_a_child_is_told_and_can_start_its_own_and_the_parent_goes_on() -> None:
    script = """
broker = EmbeddedBroker().start()
servers = broker.bootstrap_servers
asyncio.run(start_and_publish(servers))

async def child():
    assert kafka_manager.is_connected is False
    assert not await kafka_manager.health()
    try:
        await asyncio.wait_for(publish(), 1)
    except RuntimeError as error:
        print(type(error).__name__, "fork" in str(error))
    await start_and_publish(servers)
    assert kafka_manager.is_connected
    assert (await kafka_manager.stop()).failed == 0

print(fork(child))
asyncio.run(publish("parent"))
assert kafka_manager.is_connected
print(len(usernames(broker)))
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["NotStartedError", "True", "0", "3"]


def test_before_the_start_parent_and_child_each_have_their_own() -> None:
    script = """
broker = EmbeddedBroker().start()
servers = broker.bootstrap_servers
async def child(): await start_and_publish(servers)
print(fork(child))
asyncio.run(start_and_publish(servers))
print(len(usernames(broker)))
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["0", "2"]


@pytest.mark.parametrize("what", ["pass", "await kafka_manager.stop()", "await kafka_manager.health()"])
def test_a_child_that_does_not_publish_ends_cleanly(what: str) -> None:
    script = f"""
broker = EmbeddedBroker().start()
asyncio.run(start_and_publish(broker.bootstrap_servers))
async def child(): {what}
print([fork(child) for _ in range(5)])
asyncio.run(publish())
"""
    assert assert_clean(run_script(PREAMBLE + script)) == "[0, 0, 0, 0, 0]\n"


def test_a_fork_in_a_running_loop() -> None:
    """As an application server does it that forks its workers late."""
    script = """
broker = EmbeddedBroker().start()
async def main():
    await start_and_publish(broker.bootstrap_servers)
    pid = os.fork()
    if pid == 0:
        try:
            await asyncio.wait_for(publish(), 1)
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    await publish()
asyncio.run(main())
print(len(usernames(broker)))
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["0", "2"]


def test_a_grandchild() -> None:
    script = """
broker = EmbeddedBroker().start()
servers = broker.bootstrap_servers
asyncio.run(start_and_publish(servers))
async def grandchild(): await start_and_publish(servers)
pid = os.fork()
if pid == 0:
    asyncio.run(start_and_publish(servers))
    sys.exit(fork(grandchild))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(usernames(broker)))
"""
    assert assert_clean(run_script(PREAMBLE + script)).split() == ["0", "3"]


def test_the_first_failure_of_a_child_is_logged() -> None:
    """Also when its parent has just logged one with the same code, after which it logs no other for a while."""
    script = """
import logging
from kafka_email import MessageTooLargeError
broker = EmbeddedBroker().start()
servers = broker.bootstrap_servers
lines = []
class Lines(logging.Handler):
    def emit(self, record): lines.append(record.getMessage())
logging.getLogger("kafka_email").addHandler(Lines())
logging.getLogger("kafka_email").propagate = False
async def fail():
    await kafka_manager.start(KafkaConfig(bootstrap_servers=servers, max_request_size=1000))
    for _ in range(3):
        try:
            await publish("x" * 2000)
        except MessageTooLargeError:
            pass
    (line,) = [line for line in lines if "failed" in line]
    assert "more failed" not in line
asyncio.run(fail())
lines.clear()
print(fork(fail))
"""
    assert assert_clean(run_script(PREAMBLE + script)) == "0\n"


@pytest.mark.parametrize("started_first", [False, True])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, started_first: bool, tmp_path) -> None:
    script = f"""
if __name__ == "__main__":
    broker = EmbeddedBroker().start()
    if {started_first}:
        asyncio.run(start_and_publish(broker.bootstrap_servers))
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=work, args=(broker.bootstrap_servers,)) for _ in range(2)]
    for child in children: child.start()
    for child in children: child.join()
    print([child.exitcode for child in children], len(usernames(broker)) - {started_first})
"""
    path = tmp_path / "script.py"  # spawned children import it
    path.write_text(PREAMBLE + script)
    starter = f"import runpy, sys; sys.argv[0] = {str(path)!r}; runpy.run_path({str(path)!r}, run_name='__main__')"
    assert assert_clean(run_script(starter)) == "[0, 0] 2\n"
