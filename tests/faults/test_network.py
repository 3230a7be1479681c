"""Addresses where nobody answers, a slow network, and one that breaks connections."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

import pytest

from kafka_email import KafkaConfig, KafkaConnectionError, kafka_manager
from support.faults.account import Account
from support.faults.proxy import Proxy, blackhole
from support.faults.traffic import Traffic, publishing
from support.kafka.cluster import KafkaCluster
from support.package.health import always_connected, health_becomes, told
from support.ports import HOST

Judge = Callable[[Traffic, str], Account]

pytestmark = pytest.mark.timeout(120)

AGAIN_S = 20.0


@pytest.fixture
def proxied(proxy: Proxy, make_kafka: Callable[..., KafkaCluster]) -> Iterator[KafkaCluster]:
    """A Kafka of one node that every client is sent to the proxy by."""
    with make_kafka(advertised={"PLAINTEXT": proxy.port}) as cluster:
        proxy.target_port = int(cluster.bootstrap_servers.rpartition(":")[2])
        yield cluster


async def test_start_at_a_blackhole_only() -> None:
    with blackhole() as silent:
        began = time.monotonic()
        with pytest.raises(KafkaConnectionError, match=silent):
            await kafka_manager.start(KafkaConfig(bootstrap_servers=silent, max_connection_retries=1))
        assert time.monotonic() - began < 10
        assert not kafka_manager.is_connected
        assert not await kafka_manager.health()


async def test_blackholes_among_the_addresses(
    cluster: KafkaCluster, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kafka_email.librdkafka")
    (answers, *_) = cluster.bootstrap_servers.split(",")
    with blackhole() as first, blackhole() as second, blackhole() as third:
        servers, options = f"{first},{second},{third},{answers}", {"debug": "broker"}
        # librdkafka begins with any one of the addresses.
        while not any(f"{silent}/bootstrap: Connected" in caplog.text for silent in (first, second, third)):
            topic = await asyncio.to_thread(cluster.create_topic)
            async with publishing(servers, topic, producer_options=options) as traffic, always_connected():
                await asyncio.sleep(5)
                assert await kafka_manager.health()
            assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_a_node_that_is_frozen_from_the_beginning(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    controller = cluster.controller()
    frozen = next(node for node in cluster.nodes if node is not controller)
    frozen.pause()
    async with publishing(cluster.bootstrap_servers, topic) as traffic:
        await health_becomes(lambda health: health.healthy and health.brokers == 2)
        async with always_connected():
            await asyncio.sleep(8)
            frozen.resume()
            await health_becomes(lambda health: health.healthy and health.brokers == 3)
            await traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


async def test_slow_and_breaking_connections(proxy: Proxy, proxied: KafkaCluster, judge: Judge) -> None:
    """Requests and answers are lost on the way; what is sent again is stored once."""
    topic = await asyncio.to_thread(proxied.create_topic)
    proxy.delay_s = 0.2
    async with publishing(f"{HOST}:{proxy.port}", topic) as traffic:
        for _ in range(10):
            await asyncio.sleep(1)
            proxy.reset()
        await traffic.flows(AGAIN_S)
        await told(connected=True)
        await health_becomes(lambda health: health.healthy)
    proxy.delay_s = 0
    account = judge(traffic, proxied.bootstrap_servers)
    assert account.failed == 0
    assert account.slowest_s > 1, "no connection broke under an event"


async def test_health_of_a_slow_network_asks_once_for_all(proxy: Proxy, proxied: KafkaCluster) -> None:
    await kafka_manager.start(KafkaConfig(bootstrap_servers=f"{HOST}:{proxy.port}"))
    try:
        proxy.delay_s = 0.2
        before = len(proxy.requests)
        assert await kafka_manager.health()
        one = len(proxy.requests) - before
        assert all(await asyncio.gather(*[kafka_manager.health() for _ in range(200)]))
        # 200 questions would be 200 times as much; others may be the manager's own looks at the cluster.
        assert len(proxy.requests) - before < 20 * one
    finally:
        await kafka_manager.stop()
