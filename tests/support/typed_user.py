"""Code as applications write it, in the forms that the documents allow: for type checkers, never run."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import SecretStr

from kafka_email import (
    BasePublisher,
    EmailEventPayload,
    EmailEventType,
    EmailPublisher,
    KafkaConfig,
    KafkaError,
    KafkaManager,
    KafkaTopics,
    OAuthToken,
    RecordMetadata,
    StopReport,
    get_kafka_manager,
    kafka_config,
    kafka_manager,
)
from kafka_email.celery import EmailFields, EmailResult, email_task, moving
from kafka_email.fastapi import EmailPublisherDep, add_exception_handlers, health_router, kafka_lifespan
from kafka_email.testing import EmbeddedBroker, capture_events
from kafka_email.worker import SmtpConfig, WorkerConfig


async def token() -> OAuthToken:
    """A token provider."""
    return OAuthToken("from your identity provider", lifetime_s=3600, principal="shop")


CONFIGURATIONS = [
    KafkaConfig(),
    KafkaConfig(bootstrap_servers="a:9092"),
    KafkaConfig(bootstrap_servers=os.environ["SERVERS"], client_id="shop", email_topic=KafkaTopics.EMAIL_EVENTS),
    KafkaConfig(bootstrap_servers=["a:9092", "b:9092"], acks=1, retries=0, linger_ms=5, compression_type=None),
    KafkaConfig(bootstrap_servers=kafka_config.bootstrap_servers, security_protocol="sasl_ssl", sasl_mechanism="plain"),
    KafkaConfig(sasl_username="shop", sasl_password="a secret", ssl_key_password=SecretStr("a secret")),
    KafkaConfig(sasl_oauth_token_provider=token, ssl_cafile="ca.pem", ssl_certfile=Path("client.pem")),
    KafkaConfig(
        producer_options={"socket.keepalive.enable": True, "ssl.key.pem": "a secret", "queued.min.messages": 1}
    ),
    KafkaConfig(_env_file=".env"),
]

WORKERS = [
    (WorkerConfig(), SmtpConfig()),
    (WorkerConfig(from_address="no-reply@example.com", topics="a,b", templates=Path("mails")), SmtpConfig(host="mail")),
    (WorkerConfig(topics=["a"], consumer_options={"fetch.wait.max.ms": 5}), SmtpConfig(token_provider=token)),
    (
        WorkerConfig(topics=[KafkaTopics.EMAIL_EVENTS], health_port=8080),
        SmtpConfig(security="none", password="a secret"),
    ),
    (WorkerConfig(_env_file=".env", on_unknown="dead_letter"), SmtpConfig(_env_file=".env", rate_limit="14/s")),
]

app = FastAPI(lifespan=kafka_lifespan)
app.include_router(health_router)
add_exception_handlers(app, retry_after_s=5)


class Shop(KafkaConfig):
    """A configuration of an application."""

    shop: str = "x"


@app.post("/register")
async def register(
    publisher: EmailPublisherDep, manager: Annotated[KafkaManager, Depends(get_kafka_manager)]
) -> RecordMetadata:
    """An endpoint."""
    await manager.send_event(KafkaTopics.USER_EVENTS, {"id": 1}, key="1")
    return await publisher.publish_verification_email(
        email="ada@example.com", username="Ada", verification_link="/verify", metadata={"language": "en"}
    )


@email_task("welcome", wait=False, queues={"bulk": "email-bulk"}, max_retries=3)
def welcome_event(recipient: str, plan: str = "free") -> None:
    """A task."""


@email_task("invoice", link="href")
def invoice_event(user: int, href: str) -> EmailFields:
    """A task whose body computes the fields."""
    return {"email": f"{user}@example.com", "link": href}


def call_tasks() -> RecordMetadata:
    """What call sites do with tasks: arguments are checked as those of the function."""
    invoice_event.delay(7, href="/invoices/7")
    welcome_event.delay_on_commit("ada@example.com", plan="paid")
    welcome_event.delay("ada@example.com", tier="paid")  # type: ignore[call-arg]
    moving(old=object(), new=welcome_event, share="SHARE", shadow="email-shadow").delay("ada@example.com")
    result: EmailResult = welcome_event.apply_async(["ada@example.com"], expires=60, queue="bulk")
    print(result.id, result.state, result.ready())
    return result.get(timeout=1)


async def publish() -> list[RecordMetadata | KafkaError]:
    """What an application does with publishers."""
    await kafka_manager.start(Shop(shop="y"))
    await BasePublisher("topic").publish({"a": 1}, b"key", headers={"tenant": "a"})
    stored = await EmailPublisher(KafkaTopics.EMAIL_EVENTS).publish_welcome_email("ada@example.com", "Ada")
    print(stored.as_dict(), stored.offset)
    welcome = {"email_type": "welcome", "recipient": "ada@example.com", "username": "Ada"}
    payload = EmailEventPayload(email_type=EmailEventType.WELCOME, recipient="a@example.com", username="A", link="")
    return await EmailPublisher().publish_many([welcome, payload])


async def test() -> StopReport:
    """What its tests do."""
    kafka_manager.is_connected = True
    with capture_events() as captured:
        captured.fail_with(KafkaError("why"))
    async with EmbeddedBroker() as broker, get_kafka_manager() as manager:
        await manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers))
        print(broker.records()[0].as_dict(), (await manager.health()).as_dict())
    return await kafka_manager.stop(timeout=1)
