"""Numbered events from threads without an event loop; each waits for its event before it publishes the next."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka_email import KafkaConfig, KafkaError, RecordMetadata
from kafka_email.sync import EmailPublisher, kafka_manager
from support.faults.traffic import RECIPIENTS, SLACK_S, Attempt, recipient

THREADS = 32
_PAUSE_S = 0.1


class ThreadTraffic:
    """Publishes from 32 threads; all events of one recipient come from one thread, in the order of their numbers."""

    def __init__(self, topic: str, deadline_s: float) -> None:
        """Takes the topic, and the manager's `request_timeout_ms` in seconds."""
        self.topic, self.deadline_s = topic, deadline_s
        self.attempts: list[Attempt] = []
        self.issued = 0
        self._publisher = EmailPublisher(topic)
        self._lock = threading.Lock()
        self._stored_since = float("-inf")  # when the newest of the stored events was published
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(THREADS)]

    @property
    def hung(self) -> int:
        """How many threads wait for an event."""
        return self.issued - len(self.attempts)

    def start(self) -> None:
        """Begins to publish."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Publishes no more, and waits for what is under way."""
        self._stopped.set()
        deadline = time.monotonic() + self.deadline_s + SLACK_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def flows(self, seconds: float) -> None:
        """Waits until an event that is published from now on is acknowledged.

        Raises:
            AssertionError: none was in time.
        """
        began = time.monotonic()
        while self._stored_since < began:
            assert time.monotonic() - began < seconds, f"nothing was stored within {seconds} s"
            time.sleep(0.05)

    def _run(self, thread: int) -> None:
        for turn in itertools.count():
            for place in range(thread, RECIPIENTS, THREADS):
                for number in range(2 * (turn * RECIPIENTS + place), 2 * (turn * RECIPIENTS + place) + 2):
                    if self._stopped.is_set():
                        return
                    self._publish(number)
            self._stopped.wait(_PAUSE_S)

    def _publish(self, number: int) -> None:
        with self._lock:
            self.issued += 1
        began = time.monotonic()
        result: RecordMetadata | KafkaError
        try:
            result = self._publisher.publish_notification_email(
                recipient(number), "Ann", "https://x.example/", {"number": number}
            )
        except KafkaError as error:
            result = error
        attempt = Attempt(number, time.monotonic() - began, result)
        with self._lock:
            self.attempts.append(attempt)
            if isinstance(result, RecordMetadata):
                self._stored_since = max(self._stored_since, began)


@contextmanager
def publishing_threads(bootstrap_servers: str, topic: str, **settings: Any) -> Iterator[ThreadTraffic]:
    """Starts the manager and lets traffic flow; at the end of the block every publish has ended, and it is stopped."""
    config = KafkaConfig(bootstrap_servers=bootstrap_servers, email_topic=topic, **settings)
    kafka_manager.start(config)
    traffic = ThreadTraffic(topic, config.request_timeout_ms / 1000)
    try:
        traffic.start()
        traffic.flows(traffic.deadline_s)
        yield traffic
    finally:
        traffic.stop()
        report = kafka_manager.stop()
    assert report.failed == 0, "nothing was under way any more"
