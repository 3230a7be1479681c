"""TLS and SASL against a real Kafka: what is right connects and publishes, what is wrong is told at once."""

import asyncio
import base64
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafka_email import (
    AuthenticationError,
    AuthorizationError,
    BasePublisher,
    KafkaConfig,
    KafkaConnectionError,
    OAuthToken,
    kafka_manager,
)
from kafka_email import sync as blocking
from kafka_email._life import Life
from support.kafka.certificates import KEY_PASSWORD, Certificates, make_certificates
from support.kafka.cluster import PASSWORD, USER, KafkaCluster
from support.kafka.tokens import unsigned_token
from support.ports import HOST, free_port

WRONG = "wrong-horse-battery"
TOKEN_HEAD = base64.urlsafe_b64encode(b'{"alg": "none"}').decode().rstrip("=")


@pytest.fixture(autouse=True)
def nothing_secret_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Not by all of librdkafka's debugging either, nor past the log."""
    monkeypatch.setenv("KAFKA_PRODUCER_OPTIONS", '{"debug": "all"}')
    caplog.set_level(logging.DEBUG)
    yield
    lines = [str(record.__dict__) for record in caplog.get_records("call")] + [*capfd.readouterr()]
    assert not [line for line in lines for secret in (PASSWORD, WRONG, KEY_PASSWORD, TOKEN_HEAD) if secret in line]


@pytest.fixture(scope="module")
def other_kafka(make_kafka: Callable[..., KafkaCluster]) -> Iterator[KafkaCluster]:
    """A Kafka at which the user has another password, and which says so without the usual delay."""
    options = {"users": {USER: f"other-{PASSWORD}"}, "properties": {"connection.failed.authentication.delay.ms": "0"}}
    with make_kafka(listeners=("SASL_PLAINTEXT",), **options) as kafka:
        yield kafka


@asynccontextmanager
async def started(config: KafkaConfig) -> AsyncIterator[None]:
    """A manager that is connected."""
    await kafka_manager.start(config)
    try:
        yield
    finally:
        await kafka_manager.stop()


def tls(kafka: KafkaCluster, listener: str, certificates: Certificates, **options: Any) -> KafkaConfig:
    """A configuration for a listener with TLS."""
    protocol = "SASL_SSL" if listener == "SASL_SSL" else "SSL"
    options.setdefault("ssl_cafile", certificates.ca_file)
    return KafkaConfig(bootstrap_servers=kafka.address(listener), security_protocol=protocol, **options)


def scram(mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    """Credentials."""
    return {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": password}


async def publishes(kafka: KafkaCluster, config: KafkaConfig) -> None:
    """Publishes an event and reads it back through the plain listener."""
    topic = kafka.create_topic()
    async with started(config):
        await BasePublisher(topic).publish({"secure": True})
    (record,) = kafka.consume(topic, 1)
    assert json.loads(record.value or b"") == {"secure": True}


async def test_tls(secure_kafka: KafkaCluster, certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    await publishes(secure_kafka, tls(secure_kafka, "SSL", certificates))
    assert "kafka_email.librdkafka" in {record.name for record in caplog.records}, "nothing is debugged"


@pytest.mark.parametrize("locked", [False, True])
async def test_mutual_tls(secure_kafka: KafkaCluster, certificates: Certificates, locked: bool) -> None:
    key = (
        {"ssl_keyfile": certificates.client_locked_key_file, "ssl_key_password": KEY_PASSWORD}
        if locked
        else {"ssl_keyfile": certificates.client_key_file}
    )
    config = tls(secure_kafka, "MUTUAL_SSL", certificates, ssl_certfile=certificates.client_cert_file, **key)
    await publishes(secure_kafka, config)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_passwords(secure_kafka: KafkaCluster, certificates: Certificates, listener: str, mechanism: str) -> None:
    if listener == "SASL_SSL":
        config = tls(secure_kafka, listener, certificates, **scram(mechanism))
    else:
        servers = secure_kafka.address(listener)
        config = KafkaConfig(bootstrap_servers=servers, security_protocol=listener, **scram(mechanism))
    await publishes(secure_kafka, config)


def oauth(kafka: KafkaCluster, provider: Any) -> KafkaConfig:
    """A configuration for OAUTHBEARER."""
    return KafkaConfig(
        bootstrap_servers=kafka.address("SASL_PLAINTEXT"),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_provider=provider,
    )


async def test_a_token_from_the_applications_own_loop(secure_kafka: KafkaCluster) -> None:
    asked: list[asyncio.AbstractEventLoop] = []

    async def provider() -> OAuthToken:
        asked.append(asyncio.get_running_loop())
        return OAuthToken(unsigned_token("postman", 2.0), lifetime_s=2.0, principal="postman")

    topic = secure_kafka.create_topic()
    async with started(oauth(secure_kafka, provider)):
        await BasePublisher(topic).publish({"n": 1})
        await asyncio.sleep(3.0)  # the first token is past its life by now
        await BasePublisher(topic).publish({"n": 2})
    assert len(asked) >= 3
    assert set(asked) == {asyncio.get_running_loop()}
    assert len(secure_kafka.consume(topic, 2)) == 2


def test_a_token_when_the_loop_of_the_start_has_ended(secure_kafka: KafkaCluster) -> None:
    asked = 0
    renewed = threading.Event()

    async def provider() -> OAuthToken:
        nonlocal asked
        asked += 1
        if asked > 3:
            renewed.set()
        return OAuthToken(unsigned_token("postman", 2.0), lifetime_s=2.0, principal="postman")

    async def publish_and_look() -> None:
        await BasePublisher(topic).publish({"n": 1})
        health = await kafka_manager.health()
        assert health, health.last_error

    topic = secure_kafka.create_topic()
    asyncio.run(kafka_manager.start(oauth(secure_kafka, provider)))
    try:
        assert renewed.wait(20)  # the first token is past its life by now
        asyncio.run(publish_and_look())
    finally:
        asyncio.run(kafka_manager.stop())
    assert len(secure_kafka.consume(topic, 1)) == 1


async def test_a_provider_in_aiokafkas_form(secure_kafka: KafkaCluster) -> None:
    class Provider:
        async def token(self) -> str:
            return unsigned_token("postman", 300.0)

    await publishes(secure_kafka, oauth(secure_kafka, Provider()))


async def test_a_provider_that_fails_is_an_authentication_error(secure_kafka: KafkaCluster) -> None:
    async def provider() -> str:
        raise RuntimeError(WRONG)

    with pytest.raises(AuthenticationError, match="RuntimeError") as caught:
        await kafka_manager.start(oauth(secure_kafka, provider))
    assert WRONG not in str(caught.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_wrong_password_fails_at_once(
    secure_kafka: KafkaCluster, certificates: Certificates, mechanism: str
) -> None:
    config = tls(secure_kafka, "SASL_SSL", certificates, **scram(mechanism, WRONG))
    began = time.monotonic()
    with pytest.raises(AuthenticationError, match="sasl_password") as caught:
        await kafka_manager.start(config)
    assert time.monotonic() - began < 5, "five attempts would have taken 30 s"
    assert WRONG not in str(caught.value)
    assert caught.value.code == "SASL_AUTHENTICATION_FAILED"
    assert not caught.value.retriable
    assert not kafka_manager.is_connected


@pytest.fixture
def never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: after a stop no publish starts the producer."""
    monkeypatch.setattr(kafka_manager, "_life", Life())


@pytest.mark.usefixtures("never_started")
def test_a_first_publish_with_a_wrong_password_fails_at_once_and_a_later_one_with_the_right_one_does_not(
    secure_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, servers = secure_kafka.create_topic(), secure_kafka.address("SASL_PLAINTEXT")
    wrong, right = (
        KafkaConfig(bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT", **scram("PLAIN", password))
        for password in (WRONG, PASSWORD)
    )
    monkeypatch.setattr("kafka_email.manager.kafka_config", wrong)
    publisher = blocking.BasePublisher(topic)
    handle = publisher.publish_nowait({})
    for publish in (lambda: publisher.publish({}), handle.result):
        with pytest.raises(AuthenticationError, match="sasl_password") as caught:
            publish()
        assert WRONG not in str(caught.value)
    monkeypatch.setattr("kafka_email.manager.kafka_config", right)
    try:
        deadline = time.monotonic() + 10
        while True:  # the failure lasts for a second
            try:
                assert publisher.publish({"right": True}).topic == topic
                break
            except AuthenticationError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        blocking.kafka_manager.stop()


@pytest.mark.usefixtures("never_started")
def test_a_first_publish_gets_its_token_from_a_thread_of_its_own(
    secure_kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    async def provider() -> OAuthToken:
        threads.append(threading.current_thread())
        return OAuthToken(unsigned_token("postman", 300.0), lifetime_s=300.0, principal="postman")

    monkeypatch.setattr("kafka_email.manager.kafka_config", oauth(secure_kafka, provider))
    topic = secure_kafka.create_topic()
    try:
        assert blocking.BasePublisher(topic).publish({}).topic == topic
    finally:
        blocking.kafka_manager.stop()
    assert threads
    assert threading.current_thread() not in threads


async def test_an_unknown_authority_fails_at_once(
    secure_kafka: KafkaCluster, certificates: Certificates, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path)
    began = time.monotonic()
    with pytest.raises(KafkaConnectionError, match="ssl_cafile") as caught:
        await kafka_manager.start(tls(secure_kafka, "SSL", certificates, ssl_cafile=stranger.ca_file))
    assert time.monotonic() - began < 5
    assert secure_kafka.address("SSL") in str(caught.value)


class TlsEndpoint(threading.Thread):
    """A server that shows a certificate to everybody and counts them; nothing of Kafka is behind it."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        super().__init__(daemon=True)
        self.connections = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._context)
        self._socket = socket.create_server((HOST, free_port()))

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> "TlsEndpoint":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as encrypted:
                    encrypted.recv(1)


@pytest.mark.parametrize(
    ("fault", "told"), [("expired", "have not expired"), ("another host", "names in bootstrap_servers")]
)
async def test_a_certificate_that_is_not_good_fails_at_once(fault: str, told: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if fault == "expired":
        certificate = authority.issue_cert(HOST, not_after=datetime.now(timezone.utc) - timedelta(days=1))
    else:
        certificate = authority.issue_cert("elsewhere.example")
    with TlsEndpoint(certificate) as endpoint:
        config = KafkaConfig(
            bootstrap_servers=endpoint.address, security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem"
        )
        with pytest.raises(KafkaConnectionError, match=told) as caught:
            await kafka_manager.start(config)
        assert caught.value.code == "SSL_HANDSHAKE_FAILED"
        assert endpoint.address in str(caught.value)
        assert endpoint.connections <= 3, "no storm of retries"


async def connects_each_time(config: KafkaConfig, refusing: str) -> None:
    """In six of six tries, whichever address librdkafka asks first; the one that refuses changes its place."""
    good = config.bootstrap_servers
    for attempt in range(6):
        servers = [refusing, *good] if attempt % 2 else [*good, refusing]
        began = time.monotonic()
        async with started(config.model_copy(update={"bootstrap_servers": servers})):
            assert kafka_manager.is_connected
            assert time.monotonic() - began < 5, "not after the pauses of several attempts"


async def test_one_address_with_a_certificate_of_a_stranger(
    secure_kafka: KafkaCluster, certificates: Certificates
) -> None:
    with TlsEndpoint(trustme.CA().issue_cert(HOST)) as endpoint:
        await connects_each_time(tls(secure_kafka, "SSL", certificates), endpoint.address)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_one_address_with_other_credentials(
    secure_kafka: KafkaCluster, other_kafka: KafkaCluster, mechanism: str
) -> None:
    servers, refusing = (kafka.address("SASL_PLAINTEXT") for kafka in (secure_kafka, other_kafka))
    config = KafkaConfig(bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT", **scram(mechanism))
    await connects_each_time(config, refusing)


async def test_when_every_address_refuses_the_start_gives_up_at_once(
    other_kafka: KafkaCluster, secure_kafka: KafkaCluster
) -> None:
    servers = ",".join(kafka.address("SASL_PLAINTEXT") for kafka in (secure_kafka, other_kafka))
    credentials = scram("SCRAM-SHA-256", WRONG)
    config = KafkaConfig(bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT", **credentials)
    began = time.monotonic()
    with pytest.raises(AuthenticationError):
        await kafka_manager.start(config)
    assert time.monotonic() - began < 5


async def publish_until_refused(topic: str) -> None:
    """A revoked right is noticed when the broker has heard of it."""
    while True:
        await BasePublisher(topic).publish({"n": 2})


async def publish_until_stored(topic: str) -> None:
    """A broker applies a right a moment after it has confirmed it."""
    deadline = time.monotonic() + 20
    while True:
        try:
            await BasePublisher(topic).publish({"n": 1})
            break
        except AuthorizationError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


async def test_a_right_that_is_revoked_and_granted_again(make_kafka: Callable[..., KafkaCluster]) -> None:
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with make_kafka(listeners=("SASL_PLAINTEXT",), users={USER: PASSWORD}, properties=properties) as kafka:
        topic = kafka.create_topic()
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        right = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            AclOperation.WRITE,
            AclPermissionType.ALLOW,
        )
        everywhere = AclBindingFilter(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        admin.create_acls([right])[right].result()
        servers = kafka.address("SASL_PLAINTEXT")
        config = KafkaConfig(
            bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT", email_topic=topic, **scram("SCRAM-SHA-256")
        )
        async with started(config):
            await publish_until_stored(topic)
            admin.delete_acls([everywhere])[everywhere].result()
            with pytest.raises(AuthorizationError, match="allow it to write") as caught:
                await publish_until_refused(topic)
            assert (caught.value.topic, caught.value.retriable) == (topic, False)
            admin.create_acls([right])[right].result()
            await publish_until_stored(topic)


async def test_a_broker_unknown_to_the_systems_authorities_is_refused(
    secure_kafka: KafkaCluster,
) -> None:
    config = KafkaConfig(bootstrap_servers=secure_kafka.address("SSL"), security_protocol="SSL")
    with pytest.raises(KafkaConnectionError, match="ssl_cafile"):
        await kafka_manager.start(config)
