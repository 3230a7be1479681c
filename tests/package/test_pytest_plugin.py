"""The fixtures that applications get from the package, in runs of pytest of their own."""

import pytest

pytest_plugins = ["pytester"]

APPLICATION = """
import asyncio
import os

import kafka_email.sync
from kafka_email import EmailPublisher, KafkaConfig, kafka_config, kafka_manager


async def request_an_email(username="Ada"):
    await kafka_manager.start()
    return await EmailPublisher().publish_welcome_email("ada@example.com", username)
"""


@pytest.fixture(autouse=True)
def _options(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")


def test_the_broker_is_where_the_application_connects_to(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        APPLICATION
        + """
def test_sync(kafka_broker):
    asyncio.run(request_an_email())
    (record,) = kafka_broker.wait_for(1)
    assert record.key == "ada@example.com"
    assert KafkaConfig().bootstrap_servers == kafka_config.bootstrap_servers == [kafka_broker.bootstrap_servers]

async def test_async(kafka_broker):
    assert not kafka_manager.is_connected, "a manager left running was stopped"
    await request_an_email()
    assert len(kafka_broker.records()) == 1

def test_blocking(kafka_broker):
    kafka_email.sync.EmailPublisher().publish_welcome_email("ada@example.com", "Ada")
    assert len(kafka_broker.records()) == 1, "what an earlier test stopped starts by itself"

def test_nothing_is_left():
    assert not kafka_manager.is_connected
    assert "KAFKA_BOOTSTRAP_SERVERS" not in os.environ
    assert kafka_config.bootstrap_servers == KafkaConfig().bootstrap_servers
"""
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_a_broker_for_the_session_keeps_its_records(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        APPLICATION
        + """
def test_first(session_kafka_broker):
    asyncio.run(request_an_email("first"))

def test_second(session_kafka_broker):
    asyncio.run(request_an_email("second"))
    assert {record.value["username"] for record in session_kafka_broker.wait_for(2)} == {"first", "second"}

def test_one_of_its_own(kafka_broker, session_kafka_broker):
    assert kafka_config.bootstrap_servers == [kafka_broker.bootstrap_servers]
    assert kafka_broker.records() == []
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_emails_are_captured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        APPLICATION
        + """
async def test_once(captured_emails):
    await request_an_email()
    (event,) = captured_emails.events
    assert event.value["username"] == "Ada"

async def test_again(captured_emails):
    assert captured_emails.events == []

async def test_session(session_captured_emails):
    await request_an_email()

async def test_session_again(session_captured_emails):
    assert len(session_captured_emails.events) == 1
    session_captured_emails.clear()
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


def test_the_sink_is_where_the_smtp_client_is_told_to_send(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SMTP_HOST", "SMTP_USERNAME"):
        monkeypatch.setenv(name, "of the shell")
    pytester.makepyfile(
        """
import os
import smtplib

def test_sink(smtp_sink):
    assert "SMTP_USERNAME" not in os.environ
    assert os.environ["SMTP_SECURITY"] == "none"
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as client:
        client.sendmail("shop@example.com", ["ada@example.com"], "Subject: Hello\\r\\n\\r\\n")
    assert [mail.subject for mail in smtp_sink.wait_for(1)] == ["Hello"]

def test_another_sink(smtp_sink):
    assert smtp_sink.mails == []

def test_nothing_is_left():
    assert os.environ["SMTP_HOST"] == os.environ["SMTP_USERNAME"] == "of the shell"
    assert not {"SMTP_PORT", "SMTP_SECURITY"} & set(os.environ)
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_with_anyio(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        APPLICATION
        + """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_anyio(kafka_broker):
    await request_an_email()
    assert len(kafka_broker.records()) == 1
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_parallel_processes_have_a_broker_each(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        APPLICATION
        + """
import pytest

@pytest.mark.parametrize("number", range(6))
def test_alone(session_kafka_broker, kafka_broker, number):
    asyncio.run(request_an_email())
    assert len(kafka_broker.wait_for(1)) == 1
"""
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=6)


def test_a_broker_that_cannot_start_is_told_once(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
from kafka_email import testing

def start(self):
    raise RuntimeError("no port left")

testing.EmbeddedBroker.start = start
"""
    )
    pytester.makepyfile("def test_one(kafka_broker): pass\ndef test_two(kafka_broker): pass\ndef test_three(): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=2, passed=1)
    errors, _, _ = result.stdout.str().partition("short test summary info")  # it repeats them where CI is set
    assert errors.count("no port left") == 1
    result.stdout.fnmatch_lines(["*the reason stands at the first test that needed it*"])
