"""A delivery worker at a fork and at the exit of the interpreter."""

from support.package.process import assert_clean, run_script

PREAMBLE = r"""
import asyncio, os, sys, warnings
from kafka_email import NotStartedError, kafka_manager
from kafka_email.testing import EmbeddedBroker, SmtpSink
from kafka_email.worker import Worker
from support.package.embedded import TOPIC, config_for
from support.package.working import Shop, notify

# CPython's own, from 3.12 on, about any process that forks and has threads.
warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)

broker, sink = EmbeddedBroker().start(), SmtpSink().start()
broker.create_topic(TOPIC, 2)
shop = Shop(broker, sink)
worker = shop.worker()

async def deliver(count):
    await kafka_manager.start(shop.kafka)
    await notify("ann@example.org")
    await shop.mails(count)
    await kafka_manager.stop()
"""


def test_a_forked_child_is_told_and_can_start_its_own_and_the_parent_goes_on() -> None:
    script = """
async def child():
    assert not await worker.health()
    assert (await worker.stop()).finished == 0
    worker.abort()
    try:
        await worker.wait_ended()
    except NotStartedError as error:
        print("fork" in str(error))
    await worker.start()
    await worker.stop()

async def begin():
    await worker.start()
    await deliver(1)

async def end():
    await deliver(2)
    assert (await worker.stop()).abandoned == 0

asyncio.run(begin())
pid = os.fork()
if pid == 0:
    asyncio.run(child())
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
asyncio.run(end())
"""
    finished = run_script(PREAMBLE + script, 30)
    assert (finished.code, finished.out.split()) == (0, ["True", "0"]), finished
    # The child's worker joins the group of its parent's, and Kafka takes no commit during a rebalance.
    refused = "Kafka did not take a commit (REBALANCE_IN_PROGRESS); it is tried again"
    assert set(finished.err.splitlines()) <= {refused}, finished


def test_a_worker_that_was_not_stopped_drains_at_the_exit() -> None:
    script = """
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(kafka_email_event)s")
logging.getLogger("asyncio").disabled = True

async def main():
    await worker.start()
    await deliver(1)

asyncio.run(main())
"""
    out = assert_clean(run_script(PREAMBLE + script, 30)).split()
    assert out[-2:] == ["partitions_released", "worker_stopped"]
