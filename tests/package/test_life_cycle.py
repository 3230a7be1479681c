"""The life of the manager in any order: start, stop, publish, cancel, fork, with a cluster that goes and comes back."""

import asyncio
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kafka_email import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotStartedError,
    ProducerClosedError,
    RecordMetadata,
    StopReport,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import TOPIC, config_for, publish, usernames
from support.package.health import told

T = TypeVar("T")
LIMIT_S = 20.0
LIVES = max(25, settings().max_examples // 100)
"""A life takes a second, an example of another property less than a millisecond."""
AWAY_MS = 100
"""How far the brokers are away when they go down."""
PAUSES_S = st.sampled_from([0.0, 0.001, 0.01])

Results = list[RecordMetadata | BaseException]


async def begun(names: list[str], seconds: float) -> list["asyncio.Task[RecordMetadata]"]:
    """Publishes one event for each name, and gives them so much time."""
    tasks = [asyncio.create_task(publish(name)) for name in names]
    await asyncio.sleep(seconds)
    return tasks


class LifeCycle(RuleBasedStateMachine):
    """A model of what the manager promises, beside the manager."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.broker = EmbeddedBroker().start()
        self.broker.create_topic(TOPIC, 1)
        self.config = config_for(self.broker, request_timeout_ms=2000, max_connection_retries=1)
        self.is_started, self.is_up = False, True
        self.is_any_cancelled = False
        """Cancelled events may still be under way: no event that was published after them has ended."""
        self.number = 0
        self.stored: list[str] = []
        self.perhaps_stored: set[str] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, LIMIT_S))

    def names(self, count: int) -> list[str]:
        self.number += count
        return [str(number) for number in range(self.number - count, self.number)]

    @rule(calls=st.integers(1, 3))
    def start(self, calls: int) -> None:
        async def start() -> list[None]:
            return await asyncio.gather(*[kafka_manager.start(self.config) for _ in range(calls)])

        if self.is_started or self.is_up:
            self.run(start())
            self.is_started = True
        else:
            with pytest.raises(KafkaConnectionError):
                self.run(start())

    @rule(count=st.integers(0, 30), seconds=PAUSES_S, is_far=st.booleans())
    def stop(self, count: int, seconds: float, is_far: bool) -> None:
        """With events under way. All of them fail while the cluster is away, and none of them otherwise."""

        async def begin_and_stop(names: list[str]) -> tuple[StopReport, Results]:
            tasks = await begun(names, seconds)
            return await kafka_manager.stop(1.0), await asyncio.gather(*tasks, return_exceptions=True)

        names = self.names(count)
        # An acknowledgement from nearby may come before `stop()` is called, even without a pause.
        self.broker.round_trip_ms = AWAY_MS if is_far else 0
        report, results = self.run(begin_and_stop(names))
        self.broker.round_trip_ms = 0
        lost = count if self.is_started and not self.is_up else 0
        if self.is_any_cancelled and not self.is_up:
            assert report.failed >= lost
        else:
            assert report.failed == lost
        if self.is_started and is_far:
            assert report.delivered + report.failed >= count, "none of them had ended before"
        self.settle(names, results, ProducerClosedError)
        self.is_started = self.is_any_cancelled = False

    @rule(count=st.integers(1, 30))
    def publish(self, count: int) -> None:
        async def all_of(names: list[str]) -> Results:
            return await asyncio.gather(*map(publish, names), return_exceptions=True)

        names = self.names(count)
        self.settle(names, self.run(all_of(names)), KafkaTimeoutError)

    def settle(self, names: list[str], results: Results, down: type[KafkaError]) -> None:
        """Notes what became of events; those that failed did so with `down`, and because the cluster was down."""
        for name, result in zip(names, results, strict=True):
            if isinstance(result, RecordMetadata):
                assert self.is_started
                self.stored.append(name)
            elif self.is_started:
                assert isinstance(result, down), result
                assert not self.is_up
                if result.maybe_delivered:
                    self.perhaps_stored.add(name)
            else:
                assert isinstance(result, NotStartedError | ProducerClosedError)
        if names:
            # Cancelled events are older: their acknowledgement or their deadline came earlier.
            self.is_any_cancelled = False

    @precondition(lambda self: self.is_started and self.is_up)
    @rule(count=st.integers(1, 10), seconds=PAUSES_S)
    def cancel(self, count: int, seconds: float) -> None:
        async def begin_and_cancel(names: list[str]) -> None:
            tasks = await begun(names, seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        names = self.names(count)
        self.perhaps_stored |= set(names)
        self.run(begin_and_cancel(names))
        self.is_any_cancelled = True

    @precondition(lambda _: hasattr(os, "fork"))
    @rule()
    def fork(self) -> None:
        """A child is not started, whatever its parent is, says so, and can start its own."""
        (name,) = self.names(1)
        with warnings.catch_warnings():
            # CPython's own, from 3.12 on, about any process that forks and has threads.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            child = os.fork()
        if child == 0:
            self.be_the_child(name)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "what went wrong is on stderr"
        if self.is_up:
            self.stored.append(name)

    def be_the_child(self, name: str) -> None:
        """Never returns: the rest of the test is the parent's."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LIMIT_S))
        status = 1
        try:
            asyncio.new_event_loop().run_until_complete(self.live_as_a_child(name))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    async def live_as_a_child(self, name: str) -> None:
        assert not kafka_manager.is_connected
        assert not await kafka_manager.health()
        with pytest.raises((NotStartedError, ProducerClosedError)):
            await publish(name)
        if self.is_up:
            await kafka_manager.start(self.config)
            await publish(name)
        assert (await kafka_manager.stop()).failed == 0

    @rule(count=st.integers(0, 10))
    def down(self, count: int) -> None:
        """With events under way, which may be stored although their acknowledgements are lost."""

        async def begin_and_go_down(names: list[str]) -> Results:
            self.broker.round_trip_ms = AWAY_MS
            tasks = await begun(names, AWAY_MS / 2000)
            self.broker.broker_down()
            self.is_up = False
            return await asyncio.gather(*tasks, return_exceptions=True)

        names = self.names(count)
        results = self.run(begin_and_go_down(names))
        self.broker.round_trip_ms = 0
        self.settle(names, results, KafkaTimeoutError)

    @rule()
    def up(self) -> None:
        self.broker.broker_up()
        if self.is_started and not self.is_up:
            # A publish right after may not find the connection yet within its deadline.
            self.run(told(connected=True))
            self.run(self._until_published())
        self.is_up = True

    async def _until_published(self) -> None:
        (name,) = self.names(1)
        self.perhaps_stored.add(name)
        while True:
            try:
                await publish(name)
                break
            except KafkaError:
                continue

    @precondition(lambda self: self.is_started)
    @rule()
    def hear(self) -> None:
        self.run(told(connected=self.is_up))

    @invariant()
    def what_is_not_started_is_not_connected(self) -> None:
        assert self.is_started or not kafka_manager.is_connected

    def teardown(self) -> None:
        self.broker.broker_up()
        self.run(kafka_manager.stop(2.0))
        names = usernames(self.broker)
        self.broker.stop()
        self.loop.close()
        assert [name for name in names if name in self.stored] == self.stored, "all that was acknowledged, in order"
        assert set(names) <= set(self.stored) | self.perhaps_stored, "nothing else"


LifeCycle.TestCase.settings = settings(
    max_examples=LIVES,
    stateful_step_count=12,
    # A life that fails takes up to a minute, too long to look for a shorter one that fails as well.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
TestLifeCycle = pytest.mark.timeout(12 * LIVES)(LifeCycle.TestCase)


@pytest.mark.parametrize(("cancelled", "count"), [(0, 0), (0, 10), (5, 10)])
def test_a_stop_while_the_cluster_is_away(cancelled: int, count: int) -> None:
    """A life that the few of each run may not contain."""
    life = LifeCycle()
    try:
        life.start(calls=1)
        if cancelled:
            life.cancel(cancelled, seconds=0.0)
        life.down(count=0)
        life.stop(count, seconds=0.0, is_far=False)
    finally:
        life.teardown()
