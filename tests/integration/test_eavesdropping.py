"""What somebody on the way between the application and Kafka gets to see."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from kafka_email import AuthenticationError, EmailPublisher, KafkaConfig, kafka_manager
from support.faults.proxy import Proxy
from support.kafka.certificates import Certificates
from support.kafka.cluster import PASSWORD, USER, KafkaCluster
from support.ports import HOST

TOPIC = "overheard-topic"
EVENT = {"email": "overheard.address@gmail.com", "username": "overheard-username"}
WHISPERS = (PASSWORD, TOPIC, *EVENT.values(), "overheard-header", "ce_type")


@pytest.fixture(params=["SASL_PLAINTEXT", "SASL_SSL"])
def listener(request: pytest.FixtureRequest) -> str:
    """How the application talks to Kafka; the first one shows that the eavesdropper is not deaf."""
    return str(request.param)


@pytest.fixture
def config(
    listener: str, proxy: Proxy, make_kafka: Callable[..., KafkaCluster], certificates: Certificates
) -> Iterator[KafkaConfig]:
    """A configuration whose connections all pass the proxy; nothing is compressed."""
    options = {"listeners": (listener,), "users": {USER: PASSWORD}, "certificates": certificates}
    with make_kafka(**options, advertised={listener: proxy.port}) as kafka:
        proxy.target_port = int(kafka.address(listener).rpartition(":")[2])
        kafka.create_topic(TOPIC)
        yield KafkaConfig(
            bootstrap_servers=f"{HOST}:{proxy.port}",
            security_protocol=listener,
            ssl_cafile=certificates.ca_file if listener == "SASL_SSL" else None,
            sasl_mechanism="PLAIN",
            sasl_username=USER,
            sasl_password=PASSWORD,
            email_topic=TOPIC,
            compression_type="none",
        )


async def test_tls_leaves_nothing_in_clear(listener: str, config: KafkaConfig, proxy: Proxy) -> None:
    await kafka_manager.start(config)
    try:
        await EmailPublisher().publish_welcome_email(**EVENT, headers={"tenant": "overheard-header"})
    finally:
        await kafka_manager.stop()
    overheard = [whisper for whisper in WHISPERS if whisper.encode() in proxy.requests + proxy.responses]
    assert overheard == ([] if listener == "SASL_SSL" else list(WHISPERS))


@pytest.mark.parametrize("required", [True, False])
async def test_a_wrong_password_is_not_tried_over_and_over(config: KafkaConfig, proxy: Proxy, required: bool) -> None:
    """With `required=False` the mistake may be mended on the other side, so it is tried every few seconds."""
    wrong = config.model_copy(update={"sasl_password": "wrong-horse-battery", "required": required})
    try:
        with suppress(AuthenticationError):
            await kafka_manager.start(wrong)
        await asyncio.sleep(6)
    finally:
        await kafka_manager.stop()
    assert 1 <= proxy.connections <= (3 if required else 9)
