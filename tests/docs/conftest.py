"""What the code blocks find: a broker, the modules that an application migrates from, and files."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest

import kafka_email
import kafka_email.producers.email_publisher
from kafka_email import KafkaConfig, kafka_config, kafka_manager
from kafka_email.testing import EmbeddedBroker


@pytest.fixture
def default_broker() -> Iterator[EmbeddedBroker]:
    """A broker that the default configuration points to; the manager is stopped afterwards."""
    with EmbeddedBroker() as broker:
        kafka_config.bootstrap_servers = broker.bootstrap_servers.split(",")
        kafka_manager._life.forget_stop()  # of the document before
        yield broker
        asyncio.run(kafka_manager.stop())
        kafka_config.bootstrap_servers = KafkaConfig().bootstrap_servers


@pytest.fixture
def _application(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that an application had before: Celery tasks, and a Kafka package with the same names as ours."""
    modules = {
        "app": ModuleType("app"),
        "app.tasks": Mock(spec=ModuleType("app.tasks"), user_verify_mail_event=Mock(spec=["delay"])),
        "app.kafka": kafka_email,
        "app.kafka.producers": kafka_email.producers,
        "app.kafka.producers.email_publisher": kafka_email.producers.email_publisher,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificates that the documents name, in the working directory."""
    for name in ("ca.pem", "client.pem", "client.key"):
        tmp_path.joinpath(name).touch()
    monkeypatch.chdir(tmp_path)
