"""Fixtures for the tests of applications; pytest finds them through the package's entry point.

They are plain synchronous fixtures, so they work with pytest-asyncio, with anyio, and without either. Each process of
pytest-xdist has a broker of its own, on a free port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from kafka_email.manager import kafka_manager
from kafka_email.testing import CapturedEvents, CapturedMail, EmbeddedBroker, SmtpSink, capture_events
from kafka_email.testing import captured_mails as capture_mails

_no_broker = pytest.StashKey[bool]()


@pytest.fixture
def kafka_broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    """Run an embedded broker for one test, and configure the package to use it.

    During the test ``kafka_config`` and the environment variable ``KAFKA_BOOTSTRAP_SERVERS`` name this broker, so that
    the application's own ``kafka_manager.start()`` connects to it, or the first publish without an event loop. If the
    manager is still started at the end, it is stopped.
    """
    with _broker_in_use(request.config) as broker:
        yield broker


@pytest.fixture(scope="session")
def session_kafka_broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    """Run an embedded broker for all tests of the session; otherwise as ``kafka_broker``."""
    with _broker_in_use(request.config) as broker:
        yield broker


@pytest.fixture
def captured_emails() -> Iterator[CapturedEvents]:
    """Record what one test publishes, as in a ``capture_events()`` block."""
    with capture_events() as captured:
        yield captured


@pytest.fixture(scope="session")
def session_captured_emails() -> Iterator[CapturedEvents]:
    """Record what all tests of the session publish; ``clear()`` drops it."""
    with capture_events() as captured:
        yield captured


@pytest.fixture
def captured_mails() -> Iterator[list[CapturedMail]]:
    """Render the mails of what one test publishes, as in a ``captured_mails()`` block."""
    with capture_mails() as mails:
        yield mails


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """Run an SMTP sink for one test, and let the environment variables of the SMTP client name it.

    During the test ``SMTP_HOST``, ``SMTP_PORT`` and ``SMTP_SECURITY`` (``none``) are set, and ``SMTP_USERNAME`` and
    ``SMTP_PASSWORD`` are not.
    """
    with SmtpSink() as sink, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMTP_HOST", sink.host)
        patch.setenv("SMTP_PORT", str(sink.port))
        patch.setenv("SMTP_SECURITY", "none")
        patch.delenv("SMTP_USERNAME", raising=False)
        patch.delenv("SMTP_PASSWORD", raising=False)
        yield sink


@contextmanager
def _broker_in_use(config: pytest.Config) -> Iterator[EmbeddedBroker]:
    from kafka_email.config import kafka_config

    with _started(config) as broker, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        patch.setattr(kafka_config, "bootstrap_servers", broker.bootstrap_servers.split(","))
        # What an earlier test has stopped does not keep the first publish of this one from starting it.
        kafka_manager._life.forget_stop()
        yield broker
        _stop_manager()


def _started(config: pytest.Config) -> EmbeddedBroker:
    if config.stash.get(_no_broker, False):
        reason = "the reason stands at the first test that needed it"
    else:
        try:
            return EmbeddedBroker().start()
        except (OSError, RuntimeError) as error:
            reason = str(error)
    config.stash[_no_broker] = True
    pytest.fail(f"the embedded broker did not start: {reason}", pytrace=False)


def _stop_manager() -> None:
    # In a thread: the event loop of the test may be the current one of this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, kafka_manager.stop(0.1)).result()
