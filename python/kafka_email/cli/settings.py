"""The environment, for commands that do not send."""

from __future__ import annotations

import asyncio

from pydantic_settings import SettingsConfigDict

from kafka_email._core import Token
from kafka_email._token import fetch_token, kafka_tokens, native_token
from kafka_email.config import KafkaConfig, WorkerConfig
from kafka_email.config.mail_values import Address


class _NoSender(WorkerConfig):
    model_config = SettingsConfigDict(title="WorkerConfig")

    from_address: Address = "noreply@example.com"


def sender_config() -> WorkerConfig:
    """Return the configuration of the environment, which need not say who mails are from."""
    return _NoSender()


def topics_of(worker: WorkerConfig, kafka: KafkaConfig) -> list[str]:
    """Return the topics that a worker consumes."""
    return list(worker.native_settings(kafka.email_topic)["topics"])


def kafka_token(kafka: KafkaConfig) -> Token | None:
    """Ask for a token, with OAUTHBEARER.

    Raises:
        AuthenticationError: The token provider failed.
    """
    token = asyncio.run(fetch_token(kafka_tokens(kafka)))
    return None if token is None else native_token(token)
