"""Nodes of a cluster of three are killed, frozen and restarted while events are published."""

import asyncio
import logging
import re
from collections.abc import Callable

import pytest

from kafka_email import EmailPublisher, KafkaConfig, kafka_manager
from support.faults.account import Account
from support.faults.traffic import Traffic, apart, publishing
from support.kafka.cluster import KafkaCluster
from support.package.embedded import eventually
from support.package.health import always_connected, health_becomes, told

Judge = Callable[[Traffic, str], Account]

pytestmark = pytest.mark.timeout(180)

AGAIN_S = 20.0
"""How long traffic may stand still: until a new leader is chosen and found, or a killed cluster is up."""
CONNECTED = re.compile(r"/(\d+): Connected \(")
"""librdkafka's line about a connection to a node, with the node's number; the first addresses have none."""


async def test_kill_of_a_leader(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    async with publishing(cluster.bootstrap_servers, topic) as traffic, always_connected():
        leader = await asyncio.to_thread(cluster.leader, topic)
        await apart(leader.kill)
        await traffic.flows(AGAIN_S)
        await health_becomes(lambda health: health.healthy and health.brokers == 2)
        await apart(leader.start)
        await health_becomes(lambda health: health.healthy and health.brokers == 3)
        await traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_frozen_leader(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    async with publishing(cluster.bootstrap_servers, topic) as traffic, always_connected():
        leader = await asyncio.to_thread(cluster.leader, topic)
        leader.pause()
        await asyncio.sleep(8)
        assert await kafka_manager.health()
        leader.resume()
        await health_becomes(lambda health: health.healthy and health.brokers == 3)
        await traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_rolling_restart(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    async with publishing(cluster.bootstrap_servers, topic) as traffic, always_connected():
        for node in cluster.nodes:
            await apart(node.restart)
            await apart(cluster.heal)  # an administrator waits for the replicas as well
            await traffic.flows(AGAIN_S)
            await health_becomes(lambda health: health.healthy and health.brokers == 3)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_two_of_three_down(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    """The third still runs, but can acknowledge nothing until another comes back: the cluster is not well."""
    async with publishing(cluster.bootstrap_servers, topic) as traffic:
        for node in cluster.nodes[1:]:
            await apart(node.kill)
        issued = traffic.issued
        await told(connected=False)
        assert not await kafka_manager.health()
        assert max(attempt.number for attempt in traffic.attempts) < issued
        await apart(cluster.start)
        await told(connected=True)
        await health_becomes(lambda health: health.healthy and health.brokers == 3)
        await traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


@pytest.mark.parametrize("deadline_s", [10, 60])
async def test_all_down(cluster: KafkaCluster, topic: str, judge: Judge, deadline_s: int) -> None:
    """An outage longer than the deadline fails what was published meanwhile; a shorter one fails nothing."""
    async with publishing(cluster.bootstrap_servers, topic, request_timeout_ms=deadline_s * 1000) as traffic:
        await apart(cluster.kill)
        await told(connected=False)
        health = await health_becomes(lambda health: not health.healthy)
        assert "refused" in (health.last_error or "")
        await asyncio.sleep(20)
        await apart(cluster.start)
        await told(connected=True)
        await health_becomes(lambda health: health.healthy and health.brokers == 3)
        await traffic.flows(AGAIN_S)
    account = judge(traffic, cluster.bootstrap_servers)
    assert account.failures.keys() == ({"KafkaTimeoutError REQUEST_TIMED_OUT"} if deadline_s == 10 else set())


async def test_all_frozen(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    """The connections stay open and nobody answers: a switch is out of order."""
    async with publishing(cluster.bootstrap_servers, topic) as traffic:
        cluster.pause()
        await told(connected=False)
        assert not await kafka_manager.health()
        cluster.resume()
        await told(connected=True)
        await health_becomes(lambda health: health.healthy)
        await traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_the_node_that_an_idle_application_is_connected_to_freezes(
    cluster: KafkaCluster, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is connected to that one, and to no other but by chance."""
    caplog.set_level(logging.DEBUG, "kafka_email.librdkafka")
    options = {"debug": "broker,eos"}
    await kafka_manager.start(
        KafkaConfig(bootstrap_servers=cluster.bootstrap_servers, email_topic=topic, producer_options=options)
    )
    try:
        await eventually(lambda: CONNECTED.search(caplog.text) is not None, 10)
        # It is idle when it has its producer id: docs/guarantees.md says what a node does that freezes before.
        await eventually(lambda: "-> Assigned" in caplog.text, 10)
        *_, number = CONNECTED.findall(caplog.text)
        cluster.nodes[int(number) - 1].pause()
        async with always_connected():
            await asyncio.sleep(15)
            assert await kafka_manager.health()
        await asyncio.wait_for(EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann"), AGAIN_S)
    finally:
        await kafka_manager.stop()
