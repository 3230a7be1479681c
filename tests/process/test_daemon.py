"""The interpreter ends while a daemon thread runs Python code that the native half has called."""

import pytest

from support.package.process import assert_clean, run_script

PREAMBLE = """
import asyncio, logging, sys, threading, time
from kafka_email import EmailPublisher, kafka_manager
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import ADDRESS, config_for, publish

inside = threading.Event()

def stay(*_, **__):
    inside.set()
    while True:
        time.sleep(0.001)

class Last:  # goes with the modules, when no other thread gets the GIL any more
    def __del__(self, sleep=time.sleep):
        sleep(0.1)

sys.last = Last()
broker = EmbeddedBroker().start()
config = config_for(broker, exit_flush_timeout_ms=0)
asyncio.run(kafka_manager.start(config))

logger = logging.getLogger("kafka_email.events")
logging.getLogger("kafka_email").addHandler(logging.NullHandler())
logging.getLogger("kafka_email").propagate = False

def stay_in_log():
    handler = logging.Handler()
    handler.handle = stay  # not `emit`: that has a lock, which the end of `logging` waits for
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

class Loop(asyncio.SelectorEventLoop):
    staying = None
    def call_soon(self, *arguments, **context):
        if self.staying == "call_soon": stay()
        return super().call_soon(*arguments, **context)
    def add_reader(self, *arguments):
        if self.staying == "add_reader": stay()
        return super().add_reader(*arguments)
    def remove_reader(self, *arguments):
        if self.staying == "remove_reader": stay()
        return super().remove_reader(*arguments)

def daemon():
    asyncio.set_event_loop(loop := Loop())
    loop.run_until_complete(go(loop))

def end_meanwhile():
    threading.Thread(target=daemon, daemon=True).start()
    assert inside.wait(10)
"""

CASES = {
    "an outcome is settled": """
async def go(_):
    stay_in_log()
    await publish()
""",
    "an event is refused": """
async def go(_):
    stay_in_log()
    await EmailPublisher().publish_verification_email(ADDRESS, "Ann", "https://a.example/" + "l" * 2_000_000)
""",
    "an event of another type is refused": """
async def go(_):
    stay_in_log()
    await kafka_manager.send_event("email-events", {"text": "l" * 2_000_000})
""",
    "an event of many is refused": """
async def go(_):
    stay_in_log()
    event = {"email_type": "verification", "recipient": ADDRESS, "username": "Ann", "link": "l" * 2_000_000}
    await EmailPublisher().publish_many([event])
""",
    "the first event of a loop": """
async def go(loop):
    loop.staying = "add_reader"
    await publish()
""",
    "a loop that starts Kafka": """
async def go(loop):
    await kafka_manager.stop()
    loop.staying = "add_reader"
    await kafka_manager.start(config)
""",
    "a loop that stops Kafka": """
async def go(loop):
    await kafka_manager.health()
    loop.staying = "remove_reader"
    await kafka_manager.stop()
""",
    "a publish is cancelled": """
async def go(loop):
    broker.broker_down()
    task = asyncio.create_task(publish())
    await asyncio.sleep(0.1)
    loop.staying = "call_soon"
    task.cancel()
""",
    "records of an embedded broker are read": """
async def go(_):
    await publish()
    while True:
        broker.records("email-events")
        inside.set()
""",
}


@pytest.mark.parametrize("case", CASES)
def test_the_process_ends_as_if_the_thread_were_not_there(case: str) -> None:
    assert_clean(run_script(PREAMBLE + CASES[case] + "\nend_meanwhile()"))
