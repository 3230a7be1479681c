"""What a worker is started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka_email import _logging
from kafka_email._core import Mailer
from kafka_email._token import TokenSupply, fetch_token, kafka_tokens
from kafka_email.config import SmtpConfig, WorkerConfig

if TYPE_CHECKING:
    from kafka_email.config import KafkaConfig
    from kafka_email.oauth import OAuthToken
    from kafka_email.worker.registry import Handler, Registry

_BUILTIN_TEMPLATES = Path(__file__).parents[1] / "templates"

_PAGES = ("health_host", "health_port")
"""Settings of the command line's pages, which the native half does not know."""


@dataclass(frozen=True, repr=False)
class Plan:
    """Configurations, handlers and tokens, as one run of a worker needs them."""

    native_settings: dict[str, Any]
    handlers: Sequence[Handler]
    kafka_tokens: TokenSupply | None
    kafka_token: OAuthToken | None
    smtp_tokens: TokenSupply | None
    smtp_token: OAuthToken | None

    @property
    def group_id(self) -> str:
        """The consumer group."""
        return str(self.native_settings["worker"]["group_id"])

    @property
    def topics(self) -> list[str]:
        """The topics to consume."""
        return list(self.native_settings["worker"]["topics"])

    @property
    def concurrency(self) -> int:
        """Records at work at a time, at most."""
        return int(self.native_settings["worker"]["concurrency"])

    @property
    def handler_timeout_s(self) -> float:
        """Seconds that a handler may take."""
        return float(self.native_settings["worker"]["handler_timeout_s"])


def make_mailer(registry: Registry, config: WorkerConfig) -> Mailer:
    """Return what renders the mails of the types that have templates.

    Raises:
        ConfigurationError: A template has a mistake.
    """
    return Mailer(
        {
            "folder": config.templates,
            "builtin": str(_BUILTIN_TEMPLATES),
            "named": registry.templates,
            "default_language": config.default_language,
            "from_address": config.from_address,
            "from_name": config.from_name,
            "reply_to": config.reply_to,
        }
    )


async def make_plan(registry: Registry, config: WorkerConfig, kafka: KafkaConfig, smtp: SmtpConfig | None) -> Plan:
    """Ask for the first tokens, and put everything together.

    Raises:
        AuthenticationError: A token provider failed.
        pydantic.ValidationError: Fields that were assigned one by one contradict each other.
    """
    worker = config.native_settings(kafka.email_topic)
    for page in _PAGES:
        del worker[page]
    handlers = registry.handlers
    settings = {
        "connection": kafka.native_settings()["connection"],
        "worker": worker,
        "smtp": None if smtp is None else smtp.native_settings(),
        "rate_limit": None if smtp is None else smtp.rate_limit,
        "builtin": str(_BUILTIN_TEMPLATES),
        "named": registry.templates,
        "handlers": list(handlers),
    }
    for_kafka, for_smtp = kafka_tokens(kafka, _logging.log_worker), _smtp_tokens(smtp)
    return Plan(
        native_settings=settings,
        handlers=list(handlers.values()),
        kafka_tokens=for_kafka,
        kafka_token=await fetch_token(for_kafka),
        smtp_tokens=for_smtp,
        smtp_token=await fetch_token(for_smtp),
    )


def _smtp_tokens(smtp: SmtpConfig | None) -> TokenSupply | None:
    provider = None if smtp is None else smtp.token_provider
    return None if provider is None else TokenSupply("XOAUTH2", provider, _logging.log_worker)
