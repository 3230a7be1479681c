"""KafkaConfig from KAFKA_ variables."""

import importlib
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

import kafka_email
from kafka_email import KafkaManager, kafka_manager
from kafka_email.config import KafkaConfig, kafka_config
from kafka_email.testing import EmbeddedBroker
from support.package.config_errors import assert_refused, refused_fields


def test_default_instance_is_a_config():
    assert type(kafka_config) is KafkaConfig


def test_default_instance_reads_the_environment_at_import():
    program = "from kafka_email.config import kafka_config; print(kafka_config.client_id)"
    variables = {**os.environ, "KAFKA_CLIENT_ID": "from-outside"}
    ended = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert ended.stdout == "from-outside\n"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("EMAIL_TOPIC", "other", "other"),
        ("ACKS", "-1", "all"),
        ("RETRIES", "0", 0),
        ("LINGER_MS", "0.5", 0.5),
        ("REQUIRED", "false", False),
        ("PRODUCER_OPTIONS", '{"a": true, "b": 1}', {"a": "true", "b": "1"}),
        ("SASL_USERNAME", "", None),
        ("SASL_MECHANISM", "", None),
        ("SASL_PASSWORD", "", None),
        ("SSL_CAFILE", "", None),
        ("SSL_KEYFILE", "", None),
        ("SASL_OAUTH_TOKEN_PROVIDER", '{"a": 1}', None),
    ],
)
def test_environment(monkeypatch, name, text, value):
    monkeypatch.setenv(f"KAFKA_{name}", text)
    assert getattr(KafkaConfig(), name.lower()) == value


def test_arguments_precede_the_environment(monkeypatch):
    monkeypatch.setenv("KAFKA_CLIENT_ID", "outside")
    assert KafkaConfig(client_id="inside").client_id == "inside"


def test_other_variables_are_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_HEAP_OPTS", "-Xmx1g")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVER", "typo:1")
    assert KafkaConfig() == KafkaConfig(_env_file=None)
    (tmp_path / "env").write_text("DATABASE_URL=x\nKAFKA_HEAP_OPTS=y\nKAFKA_CLIENT_ID=from-file\n")
    assert KafkaConfig(_env_file=tmp_path / "env").client_id == "from-file"


def test_environment_is_validated(monkeypatch):
    monkeypatch.setenv("KAFKA_PRODUCER_OPTIONS", "{not json")
    monkeypatch.setenv("KAFKA_LINGER_MS", "soon")
    assert refused_fields() == {"producer_options", "linger_ms"}


def test_variables_that_are_not_valid_are_named(monkeypatch):
    monkeypatch.setenv("KAFKA_LINGER_MS", "soon")
    monkeypatch.setenv("KAFKA_RETRIES", "many")
    monkeypatch.setenv("KAFKA_SSL_CAFILE", os.__file__)
    message = str(assert_refused(retries=-1))
    assert "(from KAFKA_LINGER_MS)" in message
    assert "KAFKA_RETRIES" not in message, "an argument precedes the variable"
    assert "(from KAFKA_SSL_CAFILE)" in str(assert_refused(linger_ms=1, retries=1))


def test_environment_means_linger(monkeypatch):
    monkeypatch.setenv("KAFKA_BATCH_SIZE", "1000")
    assert KafkaConfig().batching == "linger"
    monkeypatch.setenv("KAFKA_BATCHING", "adaptive")
    assert refused_fields() == {"batching"}


async def test_a_variable_that_is_not_valid_is_an_error_only_where_it_is_needed(monkeypatch):
    monkeypatch.delitem(vars(kafka_email.config), "kafka_config", raising=False)
    monkeypatch.setenv("KAFKA_LINGER_MS", "soon")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "tcp://kafka:9092")
    monkeypatch.setenv("KAFKA_SASL_OAUTH_TOKEN_PROVIDER", "{")
    assert not await kafka_manager.health()
    assert KafkaConfig(linger_ms=1, bootstrap_servers="a:9092").linger_ms == 1
    assert refused_fields(linger_ms=1) == {"bootstrap_servers"}
    with EmbeddedBroker() as broker:
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers, linger_ms=1))
        assert (await kafka_manager.health()).topic == "email-events"
        assert (await kafka_manager.stop()).failed == 0
    for name in ("kafka_email", "kafka_email.config", "kafka_email.manager"):
        with pytest.raises(ValidationError, match="linger_ms"):
            _ = importlib.import_module(name).kafka_config
    with pytest.raises(ValidationError, match="linger_ms"):
        await KafkaManager().start()
