"""A delivery worker at a real Kafka, by each way of being let in that differs for its clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kafka_email import EmailPublisher, KafkaConfig, OAuthToken, kafka_manager
from kafka_email.testing import SmtpSink
from kafka_email.worker import Worker
from support.cli import run
from support.kafka.certificates import Certificates
from support.kafka.cluster import PASSWORD, USER, KafkaCluster
from support.kafka.tokens import unsigned_token
from support.package.embedded import eventually
from support.package.working import SECONDS, smtp_config, worker_config

LIFETIME_S = 4.0
"""Of tokens that are renewed during a test."""


@asynccontextmanager
async def publishing(config: KafkaConfig) -> AsyncIterator[EmailPublisher]:
    await kafka_manager.start(config)
    try:
        yield EmailPublisher()
    finally:
        await kafka_manager.stop()


async def delivers(config: KafkaConfig) -> None:
    """A worker and a publisher with this configuration pass a mail on; then a second worker goes on behind it."""
    with SmtpSink() as sink:
        for count in (1, 2):
            async with publishing(config) as publisher:
                await publisher.publish_welcome_email("ann@example.org", f"Ann {count}")
            async with Worker(worker_config(), kafka=config, smtp=smtp_config(sink)):
                await asyncio.to_thread(sink.wait_for, count, SECONDS)
        assert len(sink.mails) == 2


@pytest.fixture
def topic(secure_kafka: KafkaCluster) -> str:
    return secure_kafka.create_topic()


async def test_a_password_over_tls(secure_kafka: KafkaCluster, certificates: Certificates, topic: str) -> None:
    await delivers(
        KafkaConfig(
            bootstrap_servers=secure_kafka.address("SASL_SSL"),
            email_topic=topic,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=USER,
            sasl_password=PASSWORD,
            ssl_cafile=certificates.ca_file,
        )
    )


async def test_tokens(secure_kafka: KafkaCluster, topic: str) -> None:
    """The consumer, the producer of dead letters and the client that looks for topics each need one."""

    async def provider() -> OAuthToken:
        return OAuthToken(unsigned_token("postman", 60.0), lifetime_s=60.0, principal="postman")

    await delivers(
        KafkaConfig(
            bootstrap_servers=secure_kafka.address("SASL_PLAINTEXT"),
            email_topic=topic,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            sasl_oauth_token_provider=provider,
        )
    )


async def test_a_token_that_is_renewed_while_the_worker_runs(secure_kafka: KafkaCluster, topic: str) -> None:
    """Kafka ends a connection whose token has expired, unless its client has signed in with a fresh one."""
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    first_has_expired = asyncio.Event()
    loop.call_later(LIFETIME_S + 1, first_has_expired.set)

    async def provider() -> OAuthToken:
        asked.append(loop.time())
        return OAuthToken(unsigned_token("postman", LIFETIME_S), lifetime_s=LIFETIME_S, principal="postman")

    config = KafkaConfig(
        bootstrap_servers=secure_kafka.address("SASL_PLAINTEXT"),
        email_topic=topic,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_provider=provider,
    )
    with SmtpSink() as sink:
        worker = Worker(worker_config(), kafka=config, smtp=smtp_config(sink))
        async with publishing(config) as publisher, worker:
            await publisher.publish_welcome_email("ann@example.org", "Ann")
            await asyncio.to_thread(sink.wait_for, 1, SECONDS)
            await first_has_expired.wait()
            await publisher.publish_welcome_email("bob@example.org", "Bob")
            mails = await asyncio.to_thread(sink.wait_for, 2, SECONDS)
            health = await worker.health()
            assert health, health.as_dict()
    assert [mail.recipients for mail in mails] == [("ann@example.org",), ("bob@example.org",)]
    # The manager and the worker each asked again.
    assert len(asked) >= 4


async def test_a_wrong_password_is_named_by_the_worker_and_by_its_tools(
    secure_kafka: KafkaCluster, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = KafkaConfig(
        bootstrap_servers=secure_kafka.address("SASL_PLAINTEXT"),
        email_topic=topic,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=USER,
        sasl_password="sesame",
    )
    async with Worker(worker_config(mail_folder=tmp_path), kafka=config):
        await eventually(lambda: "Authentication failed" in caplog.text, SECONDS)
    (line,) = [one for one in caplog.records if one.__dict__["kafka_email_event"] == "kafka_unreachable"]
    assert line.name == "kafka_email.worker"

    given = {"KAFKA_BOOTSTRAP_SERVERS": secure_kafka.address("SASL_PLAINTEXT"), "KAFKA_SASL_USERNAME": USER}
    given |= {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}
    given |= {"KAFKA_WORKER_FROM_ADDRESS": "a@example.com", "KAFKA_WORKER_MAIL_FOLDER": str(tmp_path)}
    done = await asyncio.to_thread(run, "check", **given, KAFKA_SASL_PASSWORD="sesame")
    assert done.returncode == 2
    assert "Authentication failed" in done.stdout
    assert "sesame" not in caplog.text + done.stdout + done.stderr
