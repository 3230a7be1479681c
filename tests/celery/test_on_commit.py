"""Calls that wait for the commit of a transaction of Django's, beside those of Celery's task for Django."""

from collections.abc import Iterator

import django
import pytest
from celery.contrib.django.task import DjangoTask
from django.conf import settings
from django.db import connection, transaction
from doubles import FakePublishers, OldTask

from kafka_email.celery import EmailTask, email_task, moving


@email_task("welcome")
def welcome(recipient: str, plan: str = "free") -> None: ...


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
        django.setup()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    connection.close()


def test_a_commit_publishes(publishers: FakePublishers) -> None:
    with transaction.atomic():
        welcome.delay_on_commit("ann@gmail.com", plan="paid")
        welcome.apply_async_on_commit(["bob@gmail.com"], task_id="id-1")
        assert publishers.published == []
    first, second = publishers.published
    assert (first.fields["email"], first.fields["metadata"]) == ("ann@gmail.com", {"plan": "paid"})
    assert (second.fields["email"], second.options["event_id"]) == ("bob@gmail.com", "id-1")


def test_a_rollback_publishes_nothing(publishers: FakePublishers) -> None:
    with transaction.atomic():
        welcome.delay_on_commit("ann@gmail.com")
        transaction.set_rollback(True)
    assert publishers.published == []


def test_without_a_transaction_it_is_now(publishers: FakePublishers) -> None:
    welcome.delay_on_commit("ann@gmail.com")
    assert len(publishers.published) == 1


def test_a_task_that_is_being_moved(publishers: FakePublishers, old: OldTask) -> None:
    with transaction.atomic():
        moving(old=old, new=welcome).delay_on_commit("ann@gmail.com")
        moving(old=old, new=welcome, share=1).apply_async_on_commit(["ann@gmail.com"])
        assert (old.calls, publishers.published) == ([], [])
    assert (len(old.calls), len(publishers.published)) == (1, 1)


def test_the_methods_are_those_of_celery() -> None:
    theirs = {name for name in vars(DjangoTask) if name.endswith("on_commit")}
    assert {name for name in dir(EmailTask) if name.endswith("on_commit")} == theirs
