"""Threads that wait, without an event loop, while nodes are killed and started again."""

import time
from collections.abc import Callable

import pytest

from support.faults.account import Account, PublishedTo
from support.faults.threads import publishing_threads
from support.kafka.cluster import KafkaCluster

Judge = Callable[[PublishedTo, str], Account]

pytestmark = pytest.mark.timeout(180)

AGAIN_S = 20.0


def test_kill_of_a_leader(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    with publishing_threads(cluster.bootstrap_servers, topic) as traffic:
        leader = cluster.leader(topic)
        leader.kill()
        traffic.flows(AGAIN_S)
        leader.start()
        traffic.flows(AGAIN_S)
    assert judge(traffic, cluster.bootstrap_servers).failed == 0


def test_all_down_for_longer_than_the_deadline(cluster: KafkaCluster, topic: str, judge: Judge) -> None:
    with publishing_threads(cluster.bootstrap_servers, topic, request_timeout_ms=5000) as traffic:
        for node in cluster.nodes:
            node.kill()
        time.sleep(7)
        cluster.start()
        traffic.flows(AGAIN_S)
    account = judge(traffic, cluster.bootstrap_servers)
    assert account.failed > 0
    assert all(failure.startswith("KafkaTimeoutError") for failure in account.failures)
