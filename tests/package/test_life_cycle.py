"""The life of the manager in any order, with a cluster that goes and comes back and clients that die.

Start, stop, publish, cancel and fork, on one event loop, on loops that end and in threads, with two configurations.
"""

import asyncio
import gc
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kafka_email import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotStartedError,
    ProducerClosedError,
    ProducerFatalError,
    RecordMetadata,
    StopReport,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker, StoredRecord
from support.package.embedded import config_for, in_threads, native_threads, open_files, publish
from support.package.health import health_becomes, told

T = TypeVar("T")
LIMIT_S = 20.0
LIVES = max(15, settings().max_examples // 100)
"""A life takes two seconds, an example of another property less than a millisecond."""
AWAY_MS = 100
"""How far the brokers are away when they go down."""
FILES_OF_LOOPS = 4
"""Of the loop that lasted and the last of those that ended: the next loop gives them back."""
TOPICS = ("mails-of-one", "mails-of-the-other")
DEADLINE_MS, STOP_S = 2500, 1.0
"""A stop is over before the deadlines of the events under way, which librdkafka sees a second early."""
PAUSES_S = st.sampled_from([0.0, 0.001, 0.01])
CONFIGS = st.integers(0, len(TOPICS) - 1)
NOT_STARTED = (NotStartedError, ProducerClosedError)

Result = RecordMetadata | BaseException
Tasks = list["asyncio.Task[RecordMetadata]"]


def on_a_loop_that_ends(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def in_a_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


PLACES = st.sampled_from([None, on_a_loop_that_ends, in_a_thread])
"""Where a coroutine runs; None: on the loop that lasts as long as the life."""


async def begun(names: list[str], seconds: float) -> Tasks:
    """Publishes one event for each name, and gives them so much time."""
    tasks = [asyncio.create_task(publish(name)) for name in names]
    await asyncio.sleep(seconds)
    return tasks


async def results_of(awaitables: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


class LifeCycle(RuleBasedStateMachine):
    """A model of what the manager promises, beside the manager."""

    def __init__(self) -> None:
        super().__init__()
        gc.collect()
        self.threads_before, self.files_before = native_threads(), open_files()
        self.loop = asyncio.new_event_loop()
        self.broker = EmbeddedBroker().start()
        self.configs = []
        for topic in TOPICS:
            self.broker.create_topic(topic, 1)
            options = {"client_id": topic, "request_timeout_ms": DEADLINE_MS, "max_connection_retries": 1}
            self.configs.append(config_for(self.broker, email_topic=topic, **options))
        self.chosen: int | None = None
        """Which configuration the manager was started with; None while it is not started."""
        self.is_up = True
        self.number = 0
        self.stored: dict[str, list[str]] = {topic: [] for topic in TOPICS}
        """What is stored for certain, in the order of the topic."""
        self.acknowledged: dict[str, RecordMetadata] = {}
        self.stored_by_children: set[str] = set()
        self.perhaps_stored: set[str] = set()
        self.left: list[str] = []
        """Events that nobody awaits and that may still be under way: none that was published later has ended."""

    @property
    def is_started(self) -> bool:
        return self.chosen is not None

    @property
    def topic(self) -> str:
        return TOPICS[self.chosen or 0]

    def run(self, coroutine: Coroutine[Any, Any, T], place: Callable[..., T] | None = None) -> T:
        bounded = asyncio.wait_for(coroutine, LIMIT_S)
        return self.loop.run_until_complete(bounded) if place is None else place(bounded)

    def names(self, count: int) -> list[str]:
        self.number += count
        return [str(number) for number in range(self.number - count, self.number)]

    # Starting and stopping.

    @rule(which=st.lists(CONFIGS, min_size=1, max_size=3), place=PLACES)
    def start(self, which: list[int], place: Any) -> None:
        """Several at once; the first one decides. Nobody can publish before it is over."""

        async def start() -> list[BaseException | None]:
            starting = [asyncio.create_task(kafka_manager.start(self.configs[number])) for number in which]
            await asyncio.sleep(0)
            if not self.is_started:
                assert not kafka_manager.is_connected
                with pytest.raises(NOT_STARTED):
                    await publish(too_early)
            return await results_of(starting)

        (too_early,) = self.names(1)
        results = self.run(start(), place)
        if self.is_started or self.is_up:
            assert results == [None] * len(which)
            if self.chosen is None:
                self.chosen = which[0]
            assert kafka_manager.config == self.configs[self.chosen]
        else:
            assert all(isinstance(result, KafkaConnectionError) for result in results), results

    @precondition(lambda self: not self.is_started and self.is_up)
    @rule(number=CONFIGS, seconds=PAUSES_S, place=PLACES)
    def give_up_starting(self, number: int, seconds: float, place: Any) -> None:
        """Whoever was too late to give it up stops it: a rule leads to one state, however long its steps take."""

        async def start_and_cancel() -> None:
            starting = asyncio.create_task(kafka_manager.start(self.configs[number]))
            await asyncio.sleep(seconds)
            starting.cancel()
            await asyncio.wait([starting])
            assert (starting.cancelled(), kafka_manager.is_connected) in {(True, False), (False, True)}
            await kafka_manager.stop()

        self.run(start_and_cancel(), place)

    @rule(count=st.integers(0, 30), seconds=PAUSES_S, is_far=st.booleans(), calls=st.integers(1, 2), place=PLACES)
    def stop(self, count: int, seconds: float, is_far: bool, calls: int, place: Any) -> None:
        """With events under way. All of them fail while the cluster is away, and none of them otherwise."""

        async def stop() -> list[StopReport]:
            return await asyncio.gather(*[kafka_manager.stop(STOP_S) for _ in range(calls)])

        names = self.names(count)
        # An acknowledgement from nearby may come before `stop()` is called, even without a pause.
        self.broker.round_trip_ms = AWAY_MS if is_far else 0
        tasks = self.run(begun(names, seconds))
        outstanding = sum(not task.done() for task in tasks)
        began = time.monotonic()
        reports = self.run(stop(), place)
        seconds_taken = time.monotonic() - began
        results = self.run(results_of(tasks))
        self.broker.round_trip_ms = 0

        assert sum(report.elapsed_s > 0 for report in reports) == self.is_started, "one of them stops it"
        delivered, failed = (sum(getattr(report, name) for report in reports) for name in ("delivered", "failed"))
        at_least, at_most = (outstanding, outstanding + len(self.left)) if self.is_started else (0, 0)
        assert delivered + failed <= at_most
        assert max(report.elapsed_s for report in reports) <= seconds_taken
        if self.is_up:
            assert failed == 0
        else:
            assert (delivered, failed >= at_least) == (0, True)
        if is_far:
            assert delivered + failed >= at_least, "none of them had ended before"
        if self.is_up:
            self.end_of_those_left()
        self.settle(names, results, (ProducerClosedError,))
        self.chosen, self.left = None, []

    # Publishing.

    @rule(count=st.integers(1, 30), place=PLACES)
    def publish(self, count: int, place: Any) -> None:
        names = self.names(count)
        self.settle(names, self.run(results_of([*map(publish, names)]), place), (KafkaTimeoutError,))

    @precondition(lambda self: self.is_up or not self.is_started)
    @rule(count=st.integers(1, 10), threads=st.integers(2, 3))
    def publish_in_threads(self, count: int, threads: int) -> None:
        """All at once: the events of each thread keep their order."""

        def work() -> None:
            names = remaining.pop()
            ended.append((names, asyncio.run(results_of([*map(publish, names)]))))

        remaining = [self.names(count) for _ in range(threads)]
        ended: list[tuple[list[str], list[Result]]] = []
        in_threads(threads, work)
        for _, results in ended:
            offsets = [result.offset for result in results if isinstance(result, RecordMetadata)]
            assert offsets == sorted(offsets)
        together = [pair for names, results in ended for pair in zip(names, results, strict=True)]
        together.sort(key=lambda pair: getattr(pair[1], "offset", 0))
        self.settle([name for name, _ in together], [result for _, result in together], (KafkaTimeoutError,))

    def settle(self, names: list[str], results: list[Result], down: tuple[type[KafkaError], ...]) -> None:
        """Notes what became of events; those that failed did so with `down`, and because the cluster was down."""
        for name, result in zip(names, results, strict=True):
            if not self.is_started:
                assert isinstance(result, NOT_STARTED), result
            elif isinstance(result, RecordMetadata):
                self.end_of_those_left()
                self.note(name, result)
            else:
                assert not self.is_up, result
                self.note_failure(name, result, down)
        if names:
            # Those left are older: their deadline came earlier.
            self.left = []

    def note(self, name: str, stored: RecordMetadata) -> None:
        assert stored.topic == self.topic
        before = [self.acknowledged[earlier] for earlier in self.stored[self.topic] if earlier in self.acknowledged]
        assert all(earlier.offset < stored.offset for earlier in before[-1:])
        self.stored[self.topic].append(name)
        self.acknowledged[name] = stored

    def note_failure(self, name: str, error: BaseException, allowed: tuple[type[KafkaError], ...]) -> None:
        assert isinstance(error, allowed), repr(error)
        if error.maybe_delivered:
            self.perhaps_stored.add(name)

    # Events that nobody awaits.

    @precondition(lambda self: self.is_started and self.is_up)
    @rule(count=st.integers(1, 10), seconds=PAUSES_S, place=PLACES)
    def cancel(self, count: int, seconds: float, place: Any) -> None:
        """Each event was queued by the first step of its task, and is stored."""

        async def begin_and_cancel() -> None:
            tasks = await begun(names, seconds)
            for task in tasks:
                task.cancel()
            await results_of(tasks)

        names = self.names(count)
        self.run(begin_and_cancel(), place)
        self.left += names

    @precondition(lambda self: self.is_started and self.is_up)
    @rule(count=st.integers(1, 10), is_closed=st.booleans())
    def leave(self, count: int, is_closed: bool) -> None:
        """The loop ends with events under way: closed at once, or after it has cancelled its tasks."""
        names = self.names(count)
        if is_closed:
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)  # that there are tasks is no news
            loop.run_until_complete(begun(names, 0.0))
            loop.close()
            gc.collect()
        else:
            asyncio.run(begun(names, 0.0))
        self.left += names

    def end_of_those_left(self) -> None:
        """What was queued while the cluster was up, and has been up since, is stored before what came later."""
        self.stored[self.topic] += self.left
        self.left = []

    def lose_sight_of_those_left(self) -> None:
        self.perhaps_stored |= set(self.left)

    # Forks.

    @precondition(lambda _: hasattr(os, "fork"))
    @rule(number=CONFIGS)
    def fork(self, number: int) -> None:
        """A child is not started, whatever its parent is, says so, and can start its own."""
        (name,) = self.names(1)
        with warnings.catch_warnings():
            # CPython's own, from 3.12 on, about any process that forks and has threads.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            child = os.fork()
        if child == 0:
            self.be_the_child(name, number)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "what went wrong is on stderr"
        if self.is_up:
            self.stored_by_children.add(name)

    def be_the_child(self, name: str, number: int) -> None:
        """Never returns: the rest of the test is the parent's."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LIMIT_S))
        status = 1
        try:
            asyncio.new_event_loop().run_until_complete(self.live_as_a_child(name, number))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    async def live_as_a_child(self, name: str, number: int) -> None:
        assert not kafka_manager.is_connected
        assert not await kafka_manager.health()
        with pytest.raises(NOT_STARTED):
            await publish(name)
        if self.is_up:
            await kafka_manager.start(self.configs[number])
            assert (await publish(name)).topic == TOPICS[number]
        report = await kafka_manager.stop()
        assert (report.delivered, report.failed) == (0, 0)

    # The cluster.

    @rule(count=st.integers(0, 10))
    def down(self, count: int) -> None:
        """With events under way, which may be stored although their acknowledgements are lost."""

        async def begin_and_go_down(names: list[str]) -> list[Result]:
            self.broker.round_trip_ms = AWAY_MS
            tasks = await begun(names, AWAY_MS / 2000)
            self.broker.broker_down()
            return await results_of(tasks)

        names = self.names(count)
        self.lose_sight_of_those_left()
        self.is_up = False
        results = self.run(begin_and_go_down(names))
        self.broker.round_trip_ms = 0
        self.settle(names, results, (KafkaTimeoutError,))

    @rule()
    def up(self) -> None:
        self.broker.broker_up()
        if self.is_started and not self.is_up:
            self.run(told(connected=True))
            # A connection to the broker that leads the partition may take longer than one deadline.
            self.publish_until_stored(3, (KafkaTimeoutError,))
        self.is_up = True

    @precondition(lambda self: self.is_started and self.is_up)
    @rule(refusals=st.sampled_from([0, 0, 0, 1, 2]))
    def die(self, refusals: int) -> None:
        """librdkafka gives its client up, and the new ones fail as well: events fail for no other reason."""
        self.publish(1, None)
        self.broker.fail_next("CLUSTER_AUTHORIZATION_FAILED", refusals, request="InitProducerId")
        self.broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER")
        self.publish_until_stored(10_000, (ProducerFatalError, AuthorizationError), pause_s=0.01)

    def publish_until_stored(self, tries: int, allowed: tuple[type[KafkaError], ...], pause_s: float = 0.0) -> None:
        """One event after the other, within `LIMIT_S`."""

        async def publish_until_stored() -> None:
            for _ in range(tries):
                (name,) = self.names(1)
                (result,) = await results_of([publish(name)])
                if isinstance(result, RecordMetadata):
                    self.left = []
                    return self.note(name, result)
                self.note_failure(name, result, allowed)
                await asyncio.sleep(pause_s)
            pytest.fail(f"none of {tries} events was stored")

        self.run(publish_until_stored())

    @precondition(lambda self: self.is_started)
    @rule(place=PLACES)
    def hear(self, place: Any) -> None:
        self.run(told(connected=self.is_up), place)
        self.run(health_becomes(lambda health: bool(health) is self.is_up), place)

    @invariant()
    def what_is_not_started_is_not_connected(self) -> None:
        assert self.is_started or not kafka_manager.is_connected

    def teardown(self) -> None:
        self.broker.broker_up()
        report = self.run(kafka_manager.stop(2.0))
        if self.is_up:
            assert report.failed == 0
            self.end_of_those_left()
        records = {topic: self.broker.records(topic) for topic in TOPICS}
        self.broker.stop()
        self.loop.close()
        for topic in TOPICS:
            self.check(topic, records[topic])
        self.check_that_nothing_is_left()

    def check(self, topic: str, records: list[StoredRecord]) -> None:
        names = [record.value["username"] for record in records]
        assert {record.headers["ce_source"] for record in records} <= {topic}, "one configuration, one name"
        for name in self.stored[topic]:
            if name in self.acknowledged:
                assert names.count(name) == 1
                assert names[self.acknowledged[name].offset] == name
        # What came twice was cancelled before an outage: the embedded broker does not recognise what it has.
        certain = list(dict.fromkeys(name for name in names if name in self.stored[topic]))
        assert certain == self.stored[topic], "all that is certain, in order"
        assert set(names) - self.stored_by_children <= set(certain) | self.perhaps_stored, "nothing else"

    def check_that_nothing_is_left(self) -> None:
        gc.collect()
        files = self.files_before + FILES_OF_LOOPS
        deadline = time.monotonic() + 3
        while native_threads() - self.threads_before or open_files() > files:
            assert time.monotonic() < deadline, (native_threads(), open_files(), files)
            time.sleep(0.02)


LifeCycle.TestCase.settings = settings(
    max_examples=LIVES,
    stateful_step_count=12,
    # A life that fails takes up to a minute, too long to look for a shorter one that fails as well.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
TestLifeCycle = pytest.mark.timeout(12 * LIVES)(LifeCycle.TestCase)


@pytest.fixture
def life() -> Iterator[LifeCycle]:
    """A life for those that the few of each run may not contain."""
    life = LifeCycle()
    yield life
    life.teardown()


@pytest.mark.parametrize("place", [None, on_a_loop_that_ends, in_a_thread])
def test_a_life_with_everything_in_it(life: LifeCycle, place: Any) -> None:
    life.publish(1, place)
    life.give_up_starting(0, 0.001, place)
    life.start([1, 0, 1], place)
    life.publish(10, place)
    life.cancel(5, 0.0, place)
    life.fork(number=0)
    life.publish_in_threads(5, threads=3)
    life.leave(5, is_closed=True)
    life.leave(5, is_closed=False)
    life.stop(10, 0.0, is_far=True, calls=2, place=place)
    life.fork(number=1)
    life.publish(1, place)
    life.start([0, 1], place)
    life.cancel(5, 0.0, place)
    life.down(5)
    life.start([1], place)
    life.up()
    life.hear(place)
    life.publish(10, place)


def test_a_life_of_misfortunes(life: LifeCycle) -> None:
    life.start([0], place=None)
    life.leave(5, is_closed=True)
    life.die(refusals=2)
    life.fork(number=1)
    life.cancel(5, 0.0, place=None)
    life.down(count=0)
    life.hear(place=None)
    life.fork(number=0)
    life.up()
    life.publish(5, place=None)


@pytest.mark.parametrize(("cancelled", "count"), [(0, 0), (0, 10), (5, 10)])
def test_a_stop_while_the_cluster_is_away(life: LifeCycle, cancelled: int, count: int) -> None:
    life.start([0], place=None)
    if cancelled:
        life.cancel(cancelled, seconds=0.0, place=None)
    life.down(count=0)
    life.stop(count, seconds=0.0, is_far=False, calls=1, place=None)
