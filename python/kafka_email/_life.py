"""The life of the one producer of a process: its states, and what happens to it at a fork and at the exit."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from kafka_email import _callbacks, _logging
from kafka_email._core import Producer, forget_inherited
from kafka_email._exit import flush_at_end_of_child
from kafka_email._token import TokenRefresher, kafka_tokens, native_token
from kafka_email._wakeup import running_loop
from kafka_email.exceptions import KafkaError, NotStartedError, ProducerClosedError
from kafka_email.topics import topic_name

if TYPE_CHECKING:
    from kafka_email._producer import PublishingProducer
    from kafka_email.config import KafkaConfig
    from kafka_email.oauth import OAuthToken

_EXIT_PATIENCE = timedelta(seconds=3)
_TOKEN_PATIENCE_S = 0.5
_FAILURE_LASTS_S = 1.0
"""How long publishes get the failure of a start by itself before another one is tried."""

StandInT = TypeVar("StandInT", bound="PublishingProducer")


class State(Enum):
    """State of the producer of this process."""

    NEVER_STARTED = auto()
    """No call of ``start()`` has succeeded in this process, and none is waiting."""

    OPENING = auto()
    """A producer is connecting, and at least one call of ``start()`` waits for it."""

    RUNNING = auto()
    """``start()`` has succeeded, and publishers use the producer."""

    STOPPED = auto()
    """``stop()`` has ended the producer, and ``start()`` would open a new one."""

    INHERITED = auto()
    """This process was forked while its parent had a producer, whose threads do not exist here."""


# One class for each phase of the life, with what belongs to it. They are plain classes: dataclasses would add more than
# a millisecond to the import of the package.


class _Idle:
    """Without a producer: never started, or stopped."""

    def __init__(self, state: State) -> None:
        self.state = state


class Opening:
    """A producer that is connecting."""

    state = State.OPENING

    def __init__(
        self,
        producer: PublishingProducer,
        config: KafkaConfig,
        tokens: TokenRefresher | None,
        before: _Idle | _Inherited,
    ) -> None:
        self.producer = producer
        self.config = config
        self.tokens = tokens
        self.before = before  # the phase that follows if the producer is given up
        self.callers = 1  # how many calls of `start()` wait for the producer


class _Running:
    """A producer that publishers use."""

    state = State.RUNNING

    def __init__(self, producer: PublishingProducer, config: KafkaConfig, tokens: TokenRefresher | None) -> None:
        self.producer = producer
        self.config = config
        self.tokens = tokens
        self.since = time.monotonic()


class _Inherited:
    """What the parent process had. Its producer raises ``NotStartedError``, which says what to do. Nothing is freed."""

    state = State.INHERITED

    def __init__(self, of_parent: Opening | _Running) -> None:
        self.of_parent = of_parent


_Phase: TypeAlias = "_Idle | Opening | _Running | _Inherited"


class _Replacement:
    """What publishers use in place of the producer, which keeps its phase meanwhile."""

    def __init__(self, stand_in: PublishingProducer) -> None:
        self.stand_in = stand_in
        self.is_stopped = False  # whether `stop()` was called after the last `start()`


class Life:
    """Owns the producer. Each method is one transition; all of them may be called from any thread.

    Attributes:
        producer: What publishers use; None when there is nothing to publish with. Changed by transitions only.
        config: The configuration of the producer that runs, or of the last one that did.
        email_topic: The e-mail topic of that configuration.
    """

    def __init__(self) -> None:
        self.producer: PublishingProducer | None = None
        self.config: KafkaConfig | None = None
        self.email_topic: str | None = None
        self._lock = threading.Lock()
        self._phase: _Phase = _Idle(State.NEVER_STARTED)
        self._replacement: _Replacement | None = None

    @property
    def state(self) -> State:
        """The state of the producer. A stand-in does not change it."""
        return self._phase.state

    def resume(self) -> bool:
        """Return whether ``start()`` has nothing to open. A stand-in that was stopped takes events again."""
        with self._lock:
            self._drop_failed()
            if self._replacement is not None:
                self._replacement.is_stopped = False
                self._choose()
                return True
            return self.state is State.RUNNING

    def open(self, config: KafkaConfig, token: OAuthToken | None) -> Opening | None:
        """Begin to wait for a producer: for the one that is connecting, or for a new one.

        Returns:
            What to wait for. None when publishers have something to publish with already: since ``resume()`` was
            called, another call of ``start()`` was faster, or a stand-in was installed.
        """
        with self._lock:
            phase = self._phase
            if self._replacement is not None or isinstance(phase, _Running):
                return None
            if isinstance(phase, Opening):
                phase.callers += 1
                return phase
            producer, tokens = _open_producer(config, token)
            opening = Opening(producer, config, tokens, before=phase)
            self._phase = opening
            self._choose()
            flush_at_end_of_child(self._flush_at_exit)
            return opening

    @property
    def opens_by_itself(self) -> bool:
        """Whether a publish without an event loop has to open the producer first."""
        phase = self._phase
        if self._replacement is not None or isinstance(phase, Opening):
            return False
        return phase.producer.has_failed if isinstance(phase, _Running) else phase.state is not State.STOPPED

    def open_by_itself(self, config: KafkaConfig, token: OAuthToken | None) -> bool:
        """Open the producer for publishers that do not wait for the connection, unless another thread was faster.

        Returns:
            Whether this call opened it.
        """
        with self._lock:
            self._drop_failed(unless_young=True)
            if isinstance(self._phase, _Running) or not self.opens_by_itself:
                return False
            producer, tokens = _open_producer(config, token, by_itself=True)
            self._phase = _Running(producer, config, tokens)
            self.config, self.email_topic = config, topic_name(config.email_topic)
            self._choose()
            flush_at_end_of_child(self._flush_at_exit)
            return True

    @property
    def producer_by_itself(self) -> PublishingProducer | None:
        """As ``producer``; while ``start()`` connects, publishers without an event loop use it already."""
        phase = self._phase
        return phase.producer if isinstance(phase, Opening) and self._replacement is None else self.producer

    def leave(self, opening: Opening) -> None:
        """Stop waiting for a producer. When the last caller leaves, the producer is given up."""
        with self._lock:
            if self._phase is not opening:
                return
            opening.callers -= 1
            if opening.callers == 0:
                self._give_up(opening)

    def run(self, opening: Opening) -> bool:
        """Let publishers use the producer, which is connected, or connects in the background.

        Returns:
            False when another caller did this before, or ``stop()`` was called meanwhile.
        """
        config = opening.config
        with self._lock:
            if self._phase is not opening:
                return False
            self._phase = _Running(opening.producer, config, opening.tokens)
            self.config, self.email_topic = config, topic_name(config.email_topic)
            self._choose()
            return True

    def end(self) -> PublishingProducer | None:
        """Take the producer away from publishers; one that is still connecting is given up.

        Returns:
            The producer that publishers used, for the caller to stop. None if they had none.

        Raises:
            RuntimeError: No event loop of asyncio or uvloop runs, so that the caller cannot stop it.
        """
        with self._lock:
            phase, ended = self._phase, self.producer
            if self._replacement is not None:
                self._replacement.is_stopped = True
            elif isinstance(phase, Opening):
                self._give_up(phase)
                return None
            elif isinstance(phase, _Running):
                running_loop()
                self._phase = _Idle(State.STOPPED)
                if phase.tokens is not None:
                    phase.tokens.cancel()
            else:
                return None
            self._choose()
            return ended

    def forget_stop(self) -> None:
        """Let a publish without an event loop open the producer by itself again, as before the first ``stop()``."""
        with self._lock:
            if self.state is State.STOPPED:
                self._phase = _Idle(State.NEVER_STARTED)

    def is_running_with_another(self, config: KafkaConfig) -> bool:
        """Return whether publishers use a producer of our own whose configuration is not this one."""
        phase = self._phase
        return self._replacement is None and isinstance(phase, _Running) and phase.config != config

    def not_started(self) -> KafkaError:
        """Build the error that says why there is nothing to publish with."""
        phase = self._phase
        if isinstance(phase, Opening):
            phase = phase.before
        if self._replacement is not None or phase.state is State.STOPPED:
            message = "the producer is stopped: call `await kafka_manager.start()` before publishing"
            return ProducerClosedError(message, code="PRODUCER_CLOSED")
        message = "Kafka is not started: call `await kafka_manager.start()` (in the lifespan, say) before publishing"
        return NotStartedError(message, code="NOT_STARTED")

    @contextmanager
    def replaced_by(self, stand_in: StandInT) -> Iterator[StandInT]:
        """Let publishers use a stand-in. The producer keeps its state, and is flushed at the exit as always."""
        with self._lock:
            before, self._replacement = self._replacement, _Replacement(stand_in)
            self._choose()
        try:
            yield stand_in
        finally:
            with self._lock:
                self._replacement = before
                self._choose()

    def watch_process(self) -> None:
        """Register what is to happen when the process forks and when it exits."""
        atexit.register(self._flush_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _choose(self) -> None:
        """Set ``producer``. Called with the lock held, after each change of the phase or of the replacement."""
        phase = self._phase
        if self._replacement is not None:
            self.producer = None if self._replacement.is_stopped else self._replacement.stand_in
        elif isinstance(phase, _Running):
            self.producer = phase.producer
        elif isinstance(phase, _Inherited):
            self.producer = phase.of_parent.producer
        else:
            self.producer = None

    def _give_up(self, opening: Opening) -> None:
        self._phase = opening.before
        self._release(opening)

    def _drop_failed(self, *, unless_young: bool = False) -> None:
        """Forget a producer that was opened by itself and refused by every broker. Called with the lock held."""
        phase = self._phase
        if not (isinstance(phase, _Running) and phase.producer.has_failed):
            return
        if unless_young and time.monotonic() - phase.since < _FAILURE_LASTS_S:
            return
        self._phase = _Idle(State.NEVER_STARTED)
        self._release(phase)

    def _release(self, phase: Opening | _Running) -> None:
        self._choose()
        if phase.tokens is not None:
            phase.tokens.cancel()
        phase.producer.abandon()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held the old one
        forget_inherited()
        _logging.forget_failures()
        if isinstance(self._phase, (Opening, _Running)):
            self._phase = _Inherited(self._phase)
        self._choose()

    def _flush_at_exit(self) -> None:
        phase = self._phase
        if not isinstance(phase, _Running):
            return
        timeout = timedelta(milliseconds=phase.config.exit_flush_timeout_ms)
        try:
            if phase.tokens is not None:
                phase.tokens.cancel()
            counts = phase.producer.stop_and_wait(timeout, timeout + _EXIT_PATIENCE)
            if phase.tokens is not None:
                # Otherwise the interpreter may end between a call of the provider and its await, and warn of it.
                phase.tokens.wait_ended(_TOKEN_PATIENCE_S)
        except BaseException:  # of a signal handler: KeyboardInterrupt by Ctrl-C
            counts = None
        lost = phase.producer.outstanding if counts is None else counts.failed
        _callbacks.end_at_exit()
        if lost:
            message = f"{lost} events were lost at the exit of the process: await kafka_manager.stop() before it ends"
            _logging.log(logging.WARNING, "lost_at_exit", message)


def _open_producer(
    config: KafkaConfig, token: OAuthToken | None, *, by_itself: bool = False
) -> tuple[Producer, TokenRefresher | None]:
    log_native = _logging.librdkafka.isEnabledFor(logging.DEBUG)
    settings, supply = {**config.native_settings(), "by_itself": by_itself}, kafka_tokens(config)
    if supply is None or token is None:
        return Producer(settings, log_native, None), None
    producer = Producer(settings, log_native, native_token(token))
    return producer, TokenRefresher(supply, token, lambda fresh: producer.set_token(native_token(fresh)))
