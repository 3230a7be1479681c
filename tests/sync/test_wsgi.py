"""Views without an event loop, under the servers that Flask and Django run with; nothing of theirs starts Kafka."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kafka_email.testing import EmbeddedBroker
from support.package.embedded import usernames
from support.package.process import TESTS, assert_clean, finish, process
from support.package.served import served
from support.ports import HOST

FOLDER = TESTS / "sync"
GUNICORN = ["gunicorn", "wsgi:app", "--chdir", str(FOLDER), "--bind", f"{HOST}:PORT", "--log-level", "error"]


# Not gevent with --preload: there a worker of gunicorn 27 does not always end, with any application.
@pytest.mark.parametrize(
    ("kind", "preload"), [("sync", False), ("sync", True), ("gthread", False), ("gthread", True), ("gevent", False)]
)
def test_gunicorn(kind: str, preload: bool) -> None:
    options = ["-k", kind, "--workers", "2", *(["--threads", "4"] if kind == "gthread" else [])]
    environment = {"PUBLISH_BEFORE_FORK": "1"} if preload else {}
    with (
        EmbeddedBroker() as broker,
        served(broker, *GUNICORN, *options, *(["--preload"] if preload else []), **environment) as (server, client),
    ):
        with ThreadPoolExecutor(4) as threads:
            answers = threads.map(lambda number: client.post(f"/register/{number}").text, range(20))
            assert list(answers) == ["email-events"] * 20
        broker.round_trip_ms = 200
        for number in range(20, 30):
            assert client.post(f"/nowait/{number}").status_code == 200
        server.send_signal(signal.SIGTERM)
        finished = finish(server)
        assert (finished.code, finished.err) == (0, "")
        broker.round_trip_ms = 0
        expected = {str(number) for number in range(30)} | ({"parent"} if preload else set())
        assert set(usernames(broker)) == expected
        assert len(usernames(broker)) == len(expected)


CELERY_APP = """
from celery import Celery
from kafka_email.sync import EmailPublisher
from support.package.embedded import ADDRESS

app = Celery("jobs", broker="filesystem://")
folder = {folder!r}
app.conf.update(
    broker_transport_options=dict(data_folder_in=folder, data_folder_out=folder, control_folder=folder + "/control"),
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)

@app.task
def job(number):
    EmailPublisher().publish_welcome_email_nowait(ADDRESS, str(number))
"""


def test_no_event_is_lost_when_celery_ends_its_children_after_each_task(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    (folder / "control").mkdir(parents=True)
    (tmp_path / "jobs.py").write_text(CELERY_APP.format(folder=str(folder)))
    enqueue = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom jobs import job\nfor n in range(12): job.delay(n)"
    )
    worker = ["-m", "celery", "-A", "jobs", "--workdir", str(tmp_path), "worker", "-P", "prefork", "-c", "2"]
    with EmbeddedBroker() as broker:
        with process(["-c", enqueue]) as client:
            assert_clean(finish(client))
        options = ["--max-tasks-per-child", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        with process([*worker, *options], KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers):
            broker.wait_for(12, "email-events", timeout=50)
        assert sorted(usernames(broker), key=int) == [str(number) for number in range(12)]
