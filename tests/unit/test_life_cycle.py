"""The life of the manager in any order: start, stop, publish, cancel, with a cluster that goes and comes back."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kafka_email import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotStartedError,
    ProducerClosedError,
    RecordMetadata,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker
from support.embedded import TOPIC, config_for, eventually, publish, usernames

T = TypeVar("T")
LIMIT_S = 20.0


class LifeCycle(RuleBasedStateMachine):
    """A model of what the manager promises, beside the manager."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.broker = EmbeddedBroker().start()
        self.broker.create_topic(TOPIC, 1)
        self.is_started, self.is_up = False, True
        self.number = 0
        self.stored: list[str] = []
        self.perhaps_stored: set[str] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, LIMIT_S))

    def names(self, count: int) -> list[str]:
        self.number += count
        return [str(number) for number in range(self.number - count, self.number)]

    @rule()
    def start(self) -> None:
        config = config_for(self.broker, request_timeout_ms=2000, max_connection_retries=1)
        if self.is_started or self.is_up:
            self.run(kafka_manager.start(config))
            self.is_started = True
        else:
            with pytest.raises(KafkaConnectionError):
                self.run(kafka_manager.start(config))

    @rule()
    def stop(self) -> None:
        assert self.run(kafka_manager.stop(1.0)).failed == 0
        self.is_started = False

    @rule(count=st.integers(1, 30))
    def publish(self, count: int) -> None:
        async def all_of(names: list[str]) -> list[RecordMetadata | BaseException]:
            return await asyncio.gather(*map(publish, names), return_exceptions=True)

        names = self.names(count)
        for name, result in zip(names, self.run(all_of(names)), strict=True):
            if not self.is_started:
                assert isinstance(result, NotStartedError | ProducerClosedError)
            elif self.is_up:
                assert isinstance(result, RecordMetadata), result
                self.stored.append(name)
            else:
                assert isinstance(result, KafkaTimeoutError), result
                if result.maybe_delivered:
                    self.perhaps_stored.add(name)

    @precondition(lambda self: self.is_started and self.is_up)
    @rule(count=st.integers(1, 10), seconds=st.sampled_from([0.0, 0.001, 0.01]))
    def cancel(self, count: int, seconds: float) -> None:
        async def begin_and_cancel(names: list[str]) -> None:
            tasks = [asyncio.create_task(publish(name)) for name in names]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        names = self.names(count)
        self.perhaps_stored |= set(names)
        self.run(begin_and_cancel(names))

    @rule()
    def down(self) -> None:
        self.broker.broker_down()
        self.is_up = False

    @rule()
    def up(self) -> None:
        self.broker.broker_up()
        if self.is_started and not self.is_up:
            # A publish right after may not find the connection yet within its deadline.
            self.run(eventually(lambda: kafka_manager.is_connected, 15))
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


# A life takes seconds, an example of another property less than a millisecond.
LifeCycle.TestCase.settings = settings(
    max_examples=settings().max_examples // 4, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)
TestLifeCycle = pytest.mark.timeout(300)(LifeCycle.TestCase)
