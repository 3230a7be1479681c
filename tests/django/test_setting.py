"""The setting `KAFKA_EMAIL`: it precedes the environment, when the configuration is first used, and is checked."""

import json

import pytest
from project import manage, script

SHOW = """
django.setup()
import json, sys
from kafka_email import kafka_config, kafka_manager, sync
print(json.dumps([kafka_config.client_id, kafka_config.email_topic]))
assert kafka_manager.config is sync.kafka_manager.config is kafka_config
"""


def test_a_field_comes_from_the_setting_and_every_other_from_the_environment() -> None:
    variables = {"KAFKA_CLIENT_ID": "environment", "KAFKA_EMAIL_TOPIC": "mails"}
    assert json.loads(script(SHOW, {"client_id": "shop"}, **variables)) == ["shop", "mails"]
    assert json.loads(script(SHOW, **variables)) == ["environment", "mails"]
    assert json.loads(script(SHOW, {})) == ["kafka-email", "email-events"]


def test_a_configuration_that_was_used_before_is_built_again() -> None:
    code = """
import kafka_email
print(kafka_email.kafka_config.client_id)
django.setup()
print(kafka_email.kafka_config.client_id)
"""
    assert script(code, {"client_id": "shop"}).split() == ["kafka-email", "shop"]


def test_a_setting_that_a_test_overrides_counts_at_once() -> None:
    code = """
django.setup()
import kafka_email
from django.test import override_settings
print(kafka_email.kafka_config.client_id)
with override_settings(KAFKA_EMAIL={"client_id": "overridden"}):
    print(kafka_email.kafka_config.client_id)
with override_settings(DEBUG=True):
    before = kafka_email.kafka_config
assert before is kafka_email.kafka_config
print(before.client_id)
"""
    assert script(code, {"client_id": "shop"}).split() == ["shop", "overridden", "shop"]


def test_the_application_starts_and_builds_nothing() -> None:
    code = """
django.setup()
import threading
from pathlib import Path
import kafka_email.config
threads = len(list(Path("/proc/self/task").iterdir()))
print("kafka_config" in vars(kafka_email.config), threads, threading.active_count())
"""
    assert script(code, {"linger_ms": "soon"}).split() == ["False", "1", "1"]


def test_the_check_has_no_complaint_about_what_is_right() -> None:
    done = manage("check", setting={"bootstrap_servers": ["kafka-0:9092"], "client_id": "shop"})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_names_each_field_that_is_wrong_and_no_value() -> None:
    setting = {
        "linger_ms": "hidden-1",
        "client_idd": "hidden-2",
        "sasl_password": ["hidden-3"],
        "producer_options": "hidden-4",
    }
    done = manage("check", setting=setting, KAFKA_ACKS="hidden-5")
    assert done.returncode == 1
    assert done.stderr.count("(kafka_email.E001)") == 5
    for field in (*setting, "acks"):
        assert f"KAFKA_EMAIL: {field}: " in done.stderr
    assert "did you mean 'client_id'?" in done.stderr
    assert "(from KAFKA_ACKS)" in done.stderr
    assert "hidden" not in done.stdout + done.stderr


def test_the_check_names_a_combination_that_is_wrong() -> None:
    done = manage("check", setting={"sasl_mechanism": "PLAIN"})
    assert done.returncode == 1
    assert "KAFKA_EMAIL: sasl_mechanism: " in done.stderr


@pytest.mark.parametrize("setting", [["client_id", "hidden"], "hidden"])
def test_a_setting_of_another_type_is_an_error(setting: object) -> None:
    done = manage("check", setting=setting)
    assert done.returncode == 1
    assert "(kafka_email.E002) KAFKA_EMAIL must be a dictionary" in done.stderr
    assert "hidden" not in done.stderr


def test_a_mistake_that_nobody_checked_is_an_error_of_the_first_publish() -> None:
    code = """
django.setup()
from kafka_email.sync import EmailPublisher, kafka_manager
print(kafka_manager.health().healthy)
try:
    EmailPublisher().publish_welcome_email("ann@gmail.com", "Ann")
except Exception as error:
    print(type(error).__name__, "hidden" in repr(error))
"""
    assert script(code, {"linger_ms": "hidden"}).split() == ["False", "ValidationError", "False"]
    assert script(code, ["hidden"]).split() == ["False", "ConfigurationError", "False"]
