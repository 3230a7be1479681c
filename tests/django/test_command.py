"""`manage.py kafka_email` is the command line, with Django set up."""

import signal
import subprocess
from pathlib import Path

import pytest
from project import MANAGE, environment, manage, script

from kafka_email.sync import EmailPublisher, kafka_manager
from kafka_email.testing import EmbeddedBroker, SmtpSink
from support.cli import Running, variables
from support.package.embedded import config_for

SHOP_MAILS = """
from django.contrib.auth.models import User
from kafka_email.worker import Mail, Worker

worker = Worker()

@worker.handler("welcome")
def welcome(event, context):
    return Mail("Welcome", text=f"One of {User.objects.count()}")
"""


def publish(broker: EmbeddedBroker) -> None:
    kafka_manager.start(config_for(broker))
    EmailPublisher().publish_welcome_email("ann@example.com", "Ann")
    kafka_manager.stop()


def test_the_worker_takes_kafka_from_the_setting_and_its_handlers_use_the_models(tmp_path: Path) -> None:
    tmp_path.joinpath("shop_mails.py").write_text(SHOP_MAILS)
    database = str(tmp_path / "db.sqlite3")
    with EmbeddedBroker() as broker, SmtpSink() as sink:
        given = variables(broker, sink, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", SHOP_DATABASE=database)
        setting = {"bootstrap_servers": broker.bootstrap_servers}
        assert manage("migrate", "--verbosity", "0", SHOP_DATABASE=database).returncode == 0
        publish(broker)
        command = [*MANAGE, "kafka_email", "worker", "shop_mails:worker", "--log-format", "json"]
        with subprocess.Popen(
            [*command, "--settings", "shop_settings"],
            env=environment(setting, **given) | {"DJANGO_SETTINGS_MODULE": "absent"},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                (mail,) = sink.wait_for(1, timeout=40)
                assert (mail.subject, mail.text) == ("Welcome", "One of 0\n")
                process.send_signal(signal.SIGTERM)
                assert Running(process).exit_code() == 0
            finally:
                process.kill()


def test_other_commands_use_the_setting_too(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        setting = {"bootstrap_servers": broker.bootstrap_servers, "email_topic": "shop-mails"}
        for topic in ("shop-mails", "shop-mails-dlt"):
            broker.create_topic(topic, 1)
        done = manage("kafka_email", "topics", "create", setting=setting)
        assert (done.returncode, done.stderr) == (0, "")
        assert "shop-mails: was there already\n" in done.stdout
        done = manage("kafka_email", "dlt", "list", setting=setting)
        assert (done.returncode, done.stderr) == (0, "0 dead letters open\n")
        given = variables(broker, KAFKA_BOOTSTRAP_SERVERS="", KAFKA_WORKER_MAIL_FOLDER=str(tmp_path))
        assert (
            f"{broker.bootstrap_servers}, topics shop-mails,"
            in manage("kafka_email", "check", setting=setting, **given).stdout
        )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "Usage: manage.py kafka_email "),
        (["worker", "--help"], 0, "Usage: manage.py kafka_email worker "),
        (["--version"], 0, "kafka-email, version "),
        (["wroker"], 2, "No such command"),
        (["worker", "--no-such-option"], 2, "No such option"),
        (["worker", "shop"], 2, "Error: 'shop' is not MODULE:WORKER"),
    ],
)
def test_options_and_exit_codes_are_those_of_the_command_line(arguments: list[str], code: int, said: str) -> None:
    done = manage("kafka_email", *arguments)
    assert done.returncode == code
    assert said in (done.stderr if code else done.stdout)


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"linger_ms": "hidden"}, "Error: KafkaConfig: linger_ms: "), (["hidden"], "Error: KAFKA_EMAIL must be a dict")],
)
def test_a_mistake_in_the_setting_is_one_line_and_a_configuration_error(setting: object, said: str) -> None:
    done = manage("kafka_email", "topics", "create", setting=setting)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(said)
    assert "hidden" not in done.stderr


def test_manage_py_describes_it() -> None:
    assert "kafka_email" in manage("help", "--commands").stdout.split()
    assert "Usage: manage.py kafka_email " in manage("help", "kafka_email").stdout


def test_without_click_it_says_what_to_install(tmp_path: Path) -> None:
    tmp_path.joinpath("click.py").write_text("raise ImportError")
    done = manage("kafka_email", "worker", PYTHONPATH=str(tmp_path))
    message = "manage.py kafka_email: the command line needs click: pip install 'kafka-email[cli]'\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_call_command_raises_instead_of_exiting() -> None:
    code = """
from django.core.management import CommandError, call_command
django.setup()
call_command("kafka_email", "topics", "--help")
try:
    call_command("kafka_email", "worker", "shop")
except CommandError as error:
    print(error, error.returncode)
"""
    done = script(f"import sys, contextlib\nsys.stderr = sys.stdout\n{code}")
    assert done.startswith("Usage: kafka-email topics")
    assert done.endswith("exit code 2 2\n")


def test_nothing_else_imports_django() -> None:
    modules = "celery, cli, fastapi, metrics, sync, testing, worker"
    imports = "".join(f"import kafka_email.{module}\n" for module in modules.split(", "))
    assert script(f"{imports}\nimport sys\nprint('django.conf' in sys.modules)") == "False\n"
