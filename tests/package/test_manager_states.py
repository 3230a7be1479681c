"""The manager's states where several things happen at once: concurrent starts, stand-ins, forks, exits."""

import asyncio
import logging

import pytest

from kafka_email import EmailPublisher, ProducerClosedError, kafka_manager
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import config_for, publish, started, usernames
from support.package.process import assert_clean, run_script

PREAMBLE = """
import asyncio, os, sys, warnings
from kafka_email import KafkaConfig, NotStartedError, kafka_manager
from kafka_email.testing import EmbeddedBroker, capture_events
from support.package.embedded import config_for, publish, publishes, usernames
"""


@pytest.mark.parametrize("opener_waits", [True, False])
async def test_concurrent_starts_use_the_configuration_of_the_first(caplog, opener_waits):
    caplog.set_level(logging.INFO, "kafka_email")
    async with EmbeddedBroker(round_trip_ms=100) as broker:
        first = asyncio.create_task(kafka_manager.start(config_for(broker, client_id="first")))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(kafka_manager.start(config_for(broker, client_id="second")))
        await asyncio.sleep(0.01)
        if not opener_waits:
            first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert kafka_manager.config.client_id == "first"
        assert sorted(record.kafka_email_event for record in caplog.records) == ["already_started", "started"]
        broker.round_trip_ms = 0
        await kafka_manager.stop()


async def test_a_stand_in_can_be_stopped_and_started_and_leaves_the_producer_alone():
    async with started() as broker:
        with capture_events() as captured:
            await publish("1")
            await kafka_manager.stop()
            assert not kafka_manager.is_connected
            with pytest.raises(ProducerClosedError):
                await publish("2")
            assert "stopped" in (await kafka_manager.health()).last_error
            await kafka_manager.start(config_for(broker, client_id="x"))
            await publish("3")
            with capture_events() as inner:
                await publish("inner")
        assert [event.value["username"] for event in captured.events] == ["1", "3"]
        assert len(inner.events) == 1
        await publish("real")
        assert usernames(broker) == ["real"]


async def test_a_failing_stand_in_fails_each_event_of_many():
    with capture_events() as captured:
        captured.fail_with(KeyError("x"))
        event = {"email_type": "welcome", "recipient": "b@gmail.com", "username": "B"}
        results = await EmailPublisher().publish_many([event] * 3)
    assert [type(result) for result in results] == [KeyError] * 3


def test_an_exit_inside_an_open_capture_flushes_the_producer_before_it():
    script = (
        "import atexit\n@atexit.register\ndef report():\n    print(usernames(broker))\n"
        + PREAMBLE
        + """
broker = EmbeddedBroker().start()
async def main():
    await kafka_manager.start(config_for(broker))
    tasks = publishes(5)
    await asyncio.sleep(0)
asyncio.run(main())
capturing = capture_events()
capturing.__enter__()
asyncio.run(publish("captured"))
"""
    )
    assert assert_clean(run_script(script)) == "['0', '1', '2', '3', '4']\n"


def test_an_exit_inside_an_open_capture_without_a_producer_says_nothing():
    script = PREAMBLE + "capturing = capture_events()\ncapturing.__enter__()\nasyncio.run(publish('captured'))\n"
    assert assert_clean(run_script(script)) == ""


def test_forks_while_a_producer_opens_and_while_events_are_captured():
    script = (
        PREAMBLE
        + """
warnings.simplefilter("ignore")  # CPython's own, about any process that forks and has threads

async def refusal():
    try:
        await publish()
    except NotStartedError as error:
        return str(error)

async def main():
    config = KafkaConfig(bootstrap_servers="127.0.0.1:1", max_connection_retries=50)
    task = asyncio.create_task(kafka_manager.start(config))
    await asyncio.sleep(0.2)
    child = os.fork()
    if child == 0:
        before = await refusal()
        await kafka_manager.stop()
        os._exit(7 if "fork" in before and await refusal() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    task.cancel()

asyncio.run(main())
with capture_events() as captured:
    child = os.fork()
    if child == 0:
        asyncio.run(publish("x"))
        os._exit(8 + len(captured.events))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
"""
    )
    assert assert_clean(run_script(script)) == ""


def test_a_file_of_a_worker_that_vanishes_does_not_break_a_scrape(tmp_path):
    from kafka_email.metrics.workers import Workers

    workers = Workers(tmp_path)
    (tmp_path / "kafka_email_gone.json").symlink_to(tmp_path / "nowhere")
    assert len(list(workers.snapshots())) == 1
