"""Tasks that stay Celery's: beat runs them by the clock, and they ask for e-mails through Kafka.

Start it with ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 celery -A examples.celery_beat worker -B``.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from celery import Celery
from celery.schedules import crontab

from kafka_email.sync import EmailPublisher

app = Celery("shop", broker="redis://localhost")
app.conf.beat_schedule = {"trials": {"task": "shop.remind_of_trials", "schedule": crontab(hour="7", minute="0")}}


def trials_that_end_soon() -> Iterator[tuple[int, str, str]]:
    """What an application asks its database for: the number, the address and the name of each user."""
    yield 7, "ada@example.com", "Ada"
    yield 8, "ann@example.org", "Ann"


@app.task(name="shop.remind_of_trials")
def remind_of_trials() -> None:
    """Asks for one e-mail each. The first publish of each process of Celery's pool starts its producer."""
    now = datetime.now(timezone.utc)
    handles = [
        EmailPublisher().publish_email_nowait(
            "trial_ends",
            email,
            username,
            # A task that runs twice asks with the same ids, and the worker sends one mail.
            event_id=f"trial-{user_id}-{now.date()}",
            expires_at=now + timedelta(days=1),
        )
        for user_id, email, username in trials_that_end_soon()
    ]
    for handle in handles:
        handle.result()  # raises: the task fails, and Celery says so
