"""A small Flask application, as gunicorn and uWSGI serve it in test_wsgi.py."""

import os

from flask import Flask

from kafka_email.sync import EmailPublisher, kafka_manager
from support.package.embedded import ADDRESS

app = Flask(__name__)
if os.environ.get("PUBLISH_BEFORE_FORK"):
    EmailPublisher().publish_welcome_email(ADDRESS, "parent")


@app.post("/register/<name>")
def register(name: str) -> str:
    return EmailPublisher().publish_welcome_email(ADDRESS, name).topic


@app.post("/nowait/<name>")
def nowait(name: str) -> str:
    return EmailPublisher().publish_welcome_email_nowait(ADDRESS, name).event_id


@app.get("/health")
def health() -> dict[str, bool]:
    return {"connected": kafka_manager.is_connected}
