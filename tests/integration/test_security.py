"""TLS and SASL against a real Kafka: what is right connects and publishes, what is wrong is told at once."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kafka_email import (
    AuthenticationError,
    BasePublisher,
    KafkaConfig,
    KafkaConnectionError,
    OAuthToken,
    kafka_manager,
)
from support.certificates import KEY_PASSWORD, Certificates, make_certificates
from support.kafka import PASSWORD, USER, KafkaCluster

WRONG = "wrong-horse-battery"


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


async def test_tls(secure_kafka: KafkaCluster, certificates: Certificates) -> None:
    await publishes(secure_kafka, tls(secure_kafka, "SSL", certificates))


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


def unsigned_token(subject: str, lifetime_s: float) -> str:
    """A token as Kafka takes it without further configuration (RFC 7519, section 6)."""
    claims = {"sub": subject, "iat": time.time(), "exp": time.time() + lifetime_s}
    parts = ({"alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(encoded) + "."


def oauth(kafka: KafkaCluster, provider: Any) -> KafkaConfig:
    """A configuration for OAUTHBEARER."""
    return KafkaConfig(
        bootstrap_servers=kafka.address("SASL_PLAINTEXT"),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_provider=provider,
    )


async def test_a_token_from_the_applications_own_loop(secure_kafka: KafkaCluster) -> None:
    import asyncio

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


async def test_an_unknown_authority_fails_at_once(
    secure_kafka: KafkaCluster, certificates: Certificates, tmp_path: Path
) -> None:
    stranger = make_certificates(tmp_path)
    began = time.monotonic()
    with pytest.raises(KafkaConnectionError, match="ssl_cafile") as caught:
        await kafka_manager.start(tls(secure_kafka, "SSL", certificates, ssl_cafile=stranger.ca_file))
    assert time.monotonic() - began < 5
    assert secure_kafka.address("SSL") in str(caught.value)


async def test_a_broker_unknown_to_the_systems_authorities_is_refused(
    secure_kafka: KafkaCluster,
) -> None:
    config = KafkaConfig(bootstrap_servers=secure_kafka.address("SSL"), security_protocol="SSL")
    with pytest.raises(KafkaConnectionError, match="ssl_cafile"):
        await kafka_manager.start(config)
