"""What brokers answer when they cannot, or will not, take an event, while others are published."""

import asyncio
from collections.abc import Callable

import pytest

from kafka_email.testing import EmbeddedBroker
from support.faults.account import Account
from support.faults.quota import producer_quota
from support.faults.traffic import Traffic, publishing
from support.kafka.cluster import KafkaCluster

Judge = Callable[[Traffic, str], Account]

pytestmark = pytest.mark.timeout(120)

AGAIN_S = 20.0
TOPIC = "events"
# The embedded broker does not check sequence numbers: a request behind a refused one would be stored twice.
ONE_AFTER_THE_OTHER = {"max_in_flight_requests": 1}


@pytest.mark.parametrize(
    "code",
    [
        "KAFKA_STORAGE_ERROR",  # the disk is full
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_OR_FOLLOWER",
    ],
)
async def test_errors_that_pass(code: str, judge: Judge) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC, 6)
        async with publishing(broker.bootstrap_servers, TOPIC, **ONE_AFTER_THE_OTHER) as traffic:
            for _ in range(5):
                broker.fail_next(code, 3)
                await asyncio.sleep(0.5)
            await traffic.flows(AGAIN_S)
        assert judge(traffic, broker.bootstrap_servers).failed == 0


@pytest.mark.parametrize("code", ["TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"])
async def test_errors_that_are_final(code: str, judge: Judge) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC, 6)
        async with publishing(broker.bootstrap_servers, TOPIC, **ONE_AFTER_THE_OTHER) as traffic:
            for _ in range(5):
                broker.fail_next(code)
                await asyncio.sleep(0.3)
            await traffic.flows(AGAIN_S)
        account = judge(traffic, broker.bootstrap_servers)
        assert account.failures.keys() == {f"AuthorizationError {code}"}
        assert account.found == 0


async def test_a_producer_that_is_given_up_under_load(judge: Judge) -> None:
    """What librdkafka had fails, what waits behind it goes to the new producer: nothing is forgotten."""
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC, 6)
        async with publishing(broker.bootstrap_servers, TOPIC, **ONE_AFTER_THE_OTHER) as traffic:
            for _ in range(3):
                broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER")
                await traffic.flows(AGAIN_S)
                await asyncio.sleep(1)
        account = judge(traffic, broker.bootstrap_servers)
        assert account.failed > 0
        assert all(failure.startswith("ProducerFatalError") for failure in account.failures)


async def test_throttling(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    async with publishing(cluster.bootstrap_servers, topic, compression_type="none") as traffic:
        with producer_quota(cluster.bootstrap_servers, 5_000):
            await asyncio.sleep(8)
        await traffic.flows(AGAIN_S)
    account = judge(traffic, cluster.bootstrap_servers)
    assert account.failed == 0
    assert account.slowest_s > 1, "no broker made the client wait"
