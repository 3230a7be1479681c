"""Workers are killed, frozen and drained, Kafka and the mail server go away, and every event is still delivered."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.faults.traffic import RATE as TRAFFIC_RATE
from support.faults.traffic import Traffic, publishing
from support.kafka import consume
from support.kafka.cluster import KafkaCluster
from support.kafka.node import KafkaNode
from support.worker.account import Faults, settle
from support.worker.group import Group
from support.worker.processes import Fleet, MailServer, wait_until

WORKERS = 4
CONNECTIONS = 5
RATE = 100
REFUSE_EVERY = 100
SESSION_S = 10.0
"""The worker's own setting: so long it may be without a coordinator and still keep its partitions."""
MAX_POLL_S = 12.0
WAIT_S = 60.0
COMMITTED_AFTER_S = 1.0
WAITING_S = 2.0
SETTINGS = {
    "smtp": {"max_connections": CONNECTIONS, "rate_limit": f"{RATE}/s"},
    "worker": {
        "retry_base_s": 2 * WAITING_S,
        "retry_cap_s": 2 * WAITING_S,
        # Less than the group waits for a member that gives partitions back.
        "drain_timeout_s": MAX_POLL_S - 2,
        "consumer_options": {"max.poll.interval.ms": f"{MAX_POLL_S * 1000:.0f}"},
    },
}

Report = Callable[[str], None]
pytestmark = pytest.mark.timeout(1500)


class Scene:
    """Everything that can fail, and a count of what did."""

    def __init__(self, cluster: KafkaCluster, topic: str, folder: Path) -> None:
        self.cluster, self.topic = cluster, topic
        self.mail_server = MailServer(folder, REFUSE_EVERY)
        wish = {
            "bootstrap_servers": cluster.bootstrap_servers,
            "topic": topic,
            "group": f"{topic}-workers",
            "smtp_port": self.mail_server.port,
            **SETTINGS,
        }
        self.fleet = Fleet("support.worker.runner", WORKERS, wish, folder)
        self.group = Group(cluster.bootstrap_servers, f"{topic}-workers", topic)
        self._frozen = 0
        self._lost_replies = 0
        self._unrecorded = 0

    @property
    def faults(self) -> Faults:
        return Faults(self.fleet.kills + self._frozen, CONNECTIONS, RATE, self._lost_replies, self._unrecorded)

    def calm_down(self) -> None:
        """Waits until every worker has its share, and has committed what it finished meanwhile.

        The brokers take no commit while a group looks for its new balance: a worker that dies then has more behind its
        last commit than a tenth of a second.
        """
        self.fleet.await_shares(WAIT_S)
        wait_until(lambda: len(self.group.shares()) == WORKERS, WAIT_S, "no balance")
        time.sleep(COMMITTED_AFTER_S)

    def kill_in_a_session(self) -> None:
        """At every place of an SMTP session, one worker each."""
        for place in ("mail", "data", "dot", "reply"):
            self.calm_down()
            # Records that wait hold the committed offset back: what is finished behind them is in the done set.
            self.mail_server.order("fail 451 rcpt 6")
            time.sleep(WAITING_S)
            killed = self.fleet.kills
            self.mail_server.order(f"kill {place}")
            self.fleet.await_kills(killed + 1, WAIT_S)

    def kill_after_a_dead_letter(self) -> None:
        self.calm_down()
        killed = self.fleet.kills
        self.fleet.oldest.signal(signal.SIGUSR1)
        self.fleet.await_kills(killed + 1, WAIT_S)

    def kill_in_a_revocation(self) -> None:
        """A worker that cannot finish what it works on, and so cannot give back what a new one is to get."""
        self.calm_down()
        killed, worker = self.fleet.kills, self.fleet.oldest
        self.mail_server.order(f"hold {worker.pid}")
        guests = [self.fleet.guest() for _ in range(2)]
        wait_until(lambda: len(self.group.shares()) == WORKERS + 2, WAIT_S, "the guests have not joined")
        worker.signal(signal.SIGKILL)
        self.fleet.await_kills(killed + 1, WAIT_S)
        for guest in guests:
            guest.signal(signal.SIGTERM)
        assert [guest.wait(WAIT_S) for guest in guests] == [0, 0], [guest.said for guest in guests]

    def freeze(self) -> None:
        """Longer than its session and than the group waits for a poll: it learns that when it runs on."""
        self.calm_down()
        worker = self.fleet.oldest
        worker.signal(signal.SIGSTOP)
        time.sleep(MAX_POLL_S + 1)
        worker.signal(signal.SIGCONT)
        self._frozen += 1

    def rebalance(self) -> None:
        """A worker comes and goes. Nobody is killed, so nothing may be sent twice."""
        self.calm_down()
        guest = self.fleet.guest()
        wait_until(lambda: len(self.group.shares()) > WORKERS, WAIT_S, "the guest has not joined")
        guest.signal(signal.SIGTERM)
        assert guest.wait(WAIT_S) == 0, guest.said

    def refuse_and_drop(self) -> None:
        """Mails that fail for a while, and replies that are lost after the dot."""
        self.mail_server.order("fail 451 rcpt 3")
        self.mail_server.order("fail 452 dot 3")
        self.mail_server.order("drop data 3")
        self.mail_server.order("drop dot 3")
        self._lost_replies += 3

    def restart_mail_server(self) -> None:
        self.mail_server.kill()
        self._lost_replies += WORKERS * CONNECTIONS
        time.sleep(3)
        self.mail_server.start()

    def restart_node(self, node: KafkaNode) -> None:
        """Nobody takes a commit while the group has no coordinator; what is finished then may be sent twice."""
        self.calm_down()
        node.kill()
        time.sleep(1)
        node.start()
        self.cluster.heal()
        self._unrecorded += round(TRAFFIC_RATE * SESSION_S)

    def finish(self) -> None:
        """Waits until every record is committed, and drains the workers."""
        wait_until(lambda: self.group.lag() == 0, 180, f"lag {self.group.lag()}: {self.fleet.said()[-5000:]}")
        codes = self.fleet.drain(WAIT_S)
        assert codes == [0] * WORKERS, self.fleet.said()
        assert not self.fleet.failures


async def test_workers_fail(cluster: KafkaCluster, events: int, tmp_path: Path, report: Report) -> None:
    async with playing(cluster, tmp_path, report) as (scene, traffic):
        while True:
            for fault in (
                scene.kill_in_a_session,
                scene.kill_after_a_dead_letter,
                scene.refuse_and_drop,
                scene.kill_in_a_revocation,
                scene.freeze,
                scene.rebalance,
            ):
                await asyncio.to_thread(fault)
            if traffic.issued >= events:
                break


async def test_servers_fail(cluster: KafkaCluster, events: int, tmp_path: Path, report: Report) -> None:
    async with playing(cluster, tmp_path, report) as (scene, traffic):
        await asyncio.to_thread(scene.restart_mail_server)
        nodes = cluster.nodes if events else [cluster.nodes[scene.group.coordinator() - 1]]
        for node in nodes:
            await asyncio.to_thread(scene.restart_node, node)
        await traffic.flows(WAIT_S)


@asynccontextmanager
async def playing(cluster: KafkaCluster, folder: Path, report: Report) -> AsyncIterator[tuple[Scene, Traffic]]:
    """Lets workers deliver what is published during the block; at its end, everything must be accounted for."""
    topic = await asyncio.to_thread(cluster.create_topic)
    scene = Scene(cluster, topic, folder)
    await asyncio.to_thread(scene.mail_server.start)
    try:
        with scene.fleet:
            async with publishing(cluster.bootstrap_servers, topic) as traffic:
                yield scene, traffic
            await asyncio.to_thread(scene.finish)
        letters = await asyncio.to_thread(
            consume.with_confluent_kafka, cluster.bootstrap_servers, f"{topic}-dlt", 0, WAIT_S
        )
        account = settle(traffic.attempts, scene.mail_server.delivered(), map(_event_id, letters), scene.faults)
        report(str(account))
        assert account.is_clean, account
        assert account.buried > 0
    finally:
        scene.mail_server.kill()
        scene.group.close()


async def test_baseline(cluster: KafkaCluster, tmp_path: Path, report: Report) -> None:
    """The original application's consumer, for comparison: nothing is demanded of it."""
    topic = await asyncio.to_thread(cluster.create_topic)
    scene = Scene(cluster, topic, tmp_path)
    wish = {"bootstrap_servers": cluster.bootstrap_servers, "topic": topic, "group": f"{topic}-workers"}
    fleet = Fleet("support.worker.baseline", WORKERS, {**wish, "smtp_port": scene.mail_server.port}, tmp_path)
    await asyncio.to_thread(scene.mail_server.start)
    try:
        with fleet:
            async with publishing(cluster.bootstrap_servers, topic) as traffic:
                for place in ("mail", "dot"):
                    scene.mail_server.order(f"kill {place}")
                await asyncio.to_thread(fleet.await_kills, 2, WAIT_S)
                scene.mail_server.order("fail 451 rcpt 10")
                await asyncio.to_thread(scene.restart_mail_server)
                await asyncio.sleep(5)
            await asyncio.to_thread(wait_until, lambda: scene.group.lag() == 0, 180, "not all is committed")
        faults = Faults(fleet.kills, 1, 0, scene.faults.lost_replies, 0)
        account = settle(traffic.attempts, scene.mail_server.delivered(), [], faults)
        report(f"the original's consumer, for comparison: {account}")
    finally:
        scene.mail_server.kill()
        scene.group.close()


def _event_id(letter: consume.Received) -> str:
    value = dict(letter.headers)["ce_id"]
    assert value is not None
    return value.decode()
