"""Publishers that record, in the place of those that publish."""

import pytest
from doubles import FakePublishers, OldTask


@pytest.fixture
def publishers(monkeypatch: pytest.MonkeyPatch) -> FakePublishers:
    """What the tasks of a test publish with."""
    fakes = FakePublishers()
    monkeypatch.setattr("kafka_email.sync.EmailPublisher", fakes.blocking)
    monkeypatch.setattr("kafka_email.celery.event.EmailPublisher", fakes.asynchronous)
    return fakes


@pytest.fixture
def old() -> OldTask:
    """The Celery task of a `moving`."""
    return OldTask()
