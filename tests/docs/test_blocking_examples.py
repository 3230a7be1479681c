"""The examples without `await` work under the servers that their first lines name."""

import signal
from pathlib import Path

import pytest
from blocks import ROOT

from kafka_email.testing import EmbeddedBroker
from support.package.process import assert_clean, finish, process
from support.package.served import served
from support.ports import HOST

ADA = {"email": "ada@example.com", "username": "Ada"}


def gunicorn(application: str, *options: str) -> list[str]:
    return ["gunicorn", application, "--chdir", str(ROOT), "--bind", f"{HOST}:PORT", "--log-level", "error", *options]


def test_fastapi_with_def_endpoints() -> None:
    uvicorn = ["uvicorn", "examples.fastapi_def:app", "--app-dir", str(ROOT), "--host", HOST, "--port", "PORT"]
    with EmbeddedBroker() as broker, served(broker, *uvicorn, health="/readyz") as (server, client):
        registered = client.post("/register", json=ADA)
        subscribed = client.post("/newsletter", json=ADA)
        assert (registered.status_code, subscribed.status_code) == (201, 202)
        assert client.post("/register", json={"email": "nobody", "username": "Ada"}).status_code == 422
        records = broker.wait_for(2, "email-events")
        assert [record.headers["ce_id"] for record in records] == [
            registered.json()["event_id"],
            subscribed.json()["event_id"],
        ]
        assert [record.headers["ce_type"] for record in records] == ["verification", "newsletter"]
        server.send_signal(signal.SIGTERM)
        finish(server)


@pytest.mark.parametrize(
    "command",
    [
        gunicorn("examples.flask_app:app", "--workers", "2"),
        gunicorn("examples.django_app:application", "--workers", "2"),
        gunicorn("examples.django_app:application", "--workers", "2", "--preload"),
    ],
    ids=["flask", "django", "django preload"],
)
def test_views_under_gunicorn(command: list[str]) -> None:
    with EmbeddedBroker() as broker, served(broker, *command) as (server, client):
        assert client.get("/health").json() == {"status": "ok", "kafka": False}
        answers = [client.post("/register", json=ADA) for _ in range(8)]
        assert {answer.status_code for answer in answers} == {201}
        records = broker.records("email-events")
        assert {record.headers["ce_id"] for record in records} == {answer.json()["event_id"] for answer in answers}
        invalid = client.post("/register", json={"email": "nobody", "username": "Ada"})
        assert (invalid.status_code, invalid.json()[0]["loc"]) == (422, ["email"])
        server.send_signal(signal.SIGTERM)
        assert_clean(finish(server))


def test_a_view_says_when_kafka_is_away() -> None:
    command = gunicorn("examples.flask_app:app")
    with EmbeddedBroker() as broker, served(broker, *command, KAFKA_REQUEST_TIMEOUT_MS="1000") as (_, client):
        broker.broker_down()
        refused = client.post("/register", json=ADA)
        assert (refused.status_code, refused.json()["retriable"]) == (503, True)


@pytest.mark.parametrize(("command", "said"), [("check", "no issues"), ("kafka_email", "worker")])
def test_the_django_application_has_commands(command: str, said: str) -> None:
    options = ["--help"] if command == "kafka_email" else []
    with process(["-m", "examples.django_app", command, *options], PYTHONPATH=str(ROOT)) as started:
        assert said in assert_clean(finish(started))


BEAT = """
from examples.celery_beat import app

app.conf.update(
    broker_url="filesystem://",
    broker_transport_options=dict(data_folder_in={folder!r}, data_folder_out={folder!r}, control_folder={folder!r}),
    broker_connection_retry_on_startup=True,
)
app.conf.beat_schedule["trials"]["schedule"] = 1.0
"""


def test_a_task_of_celery_beat_asks_for_emails(tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    tmp_path.joinpath("jobs.py").write_text(BEAT.format(folder=str(queue)))
    options = ["--schedule", str(tmp_path / "schedule"), "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = ["-m", "celery", "-A", "jobs", "--workdir", str(tmp_path), "worker", "-B", "-c", "1", *options]
    with EmbeddedBroker() as broker:
        variables = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "PYTHONPATH": str(ROOT)}
        with process(command, **variables) as worker:
            records = broker.wait_for(4, "email-events", timeout=40)
            worker.send_signal(signal.SIGTERM)
            finish(worker, 30)
    assert {record.key for record in records} == {"ada@example.com", "ann@example.org"}
    assert {record.headers["ce_type"] for record in records} == {"trial_ends"}
    assert len({record.headers["ce_id"] for record in records}) == 2, "the same ids when it runs again"
    assert all("expires-at" in record.headers for record in records)
