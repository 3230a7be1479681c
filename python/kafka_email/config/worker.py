"""The configuration of the delivery worker."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic_settings import NoDecode, SettingsConfigDict

from kafka_email.config.base import BorrowingSettings, GuardedSettings
from kafka_email.config.consumer_options import ConsumerOptions
from kafka_email.config.errors import Problem
from kafka_email.config.foreign import borrow_worker
from kafka_email.config.loan import Loan
from kafka_email.config.mail_values import (
    Address,
    Host,
    Language,
    OnUnknown,
    OptionalAddress,
    OptionalExistingFolder,
    OptionalFolder,
)
from kafka_email.config.options import OptionValue, parser_of
from kafka_email.config.revealing import longest_first
from kafka_email.config.values import Line, OptionalLine, TopicName, blank_is_none, split_list
from kafka_email.topics import KafkaTopics, dead_letter_topic

_DAY_S = 86_400


class _EmailTopic(GuardedSettings):
    """The one field of ``KafkaConfig`` that the worker's default depends on: the others may be wrong here."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", title="KafkaConfig")

    email_topic: TopicName = KafkaTopics.EMAIL_EVENTS.value


def _with_dead_letters(topic: str) -> str:
    dead_letter_topic(topic)
    return topic


def _once(topics: list[str]) -> list[str]:
    if any(count > 1 for count in Counter(topics).values()):
        raise ValueError("names a topic twice")
    return topics


_Topic = Annotated[TopicName, AfterValidator(_with_dead_letters)]
_Topics = Annotated[list[_Topic], NoDecode, BeforeValidator(split_list), AfterValidator(_once), Field(min_length=1)]


class WorkerConfig(BorrowingSettings):
    """Settings of the delivery worker. ``KafkaConfig`` has those of its connection to Kafka.

    It has the rules of ``KafkaConfig``. Where no variable ``KAFKA_WORKER_...`` and no argument sets a field, the
    variables of fastapi-mail and of the full-stack-fastapi-template are read: docs/configuration.md.
    """

    model_config = SettingsConfigDict(env_prefix="KAFKA_WORKER_")

    group_id: Line = Field(default="kafka-email-worker", description="Consumer group: its workers share the topics.")
    topics: _Topics = Field(
        default_factory=lambda: [_EmailTopic().email_topic],
        description="Topics to consume: a list, a JSON list or a comma-separated string. Unless set, the e-mail topic "
        "of the KafkaConfig that the worker is started with.",
    )
    from_address: Address = Field(description="Address in From, name@domain.")
    from_name: OptionalLine = Field(default=None, description="Display name in From.")
    reply_to: OptionalAddress = Field(default=None, description="Address in Reply-To.")
    envelope_from: OptionalAddress = Field(
        default=None, description="Sender of the envelope, to which bounces go; from_address when None."
    )
    templates: OptionalExistingFolder = Field(
        default=None, description="Folder of the templates; the package's own when None."
    )
    default_language: Language = Field(default="en", description="Language of mails whose event names none.")
    concurrency: int = Field(default=100, ge=1, le=10_000, description="Records that the worker works on at a time.")
    retry_base_s: float = Field(
        default=1, ge=0.001, le=3600, allow_inf_nan=False, description="Seconds: limit of the delay after one failure."
    )
    retry_cap_s: float = Field(
        default=300,
        ge=0.001,
        le=_DAY_S,
        allow_inf_nan=False,
        description="Seconds: limit of every delay; it doubles with each failure up to here.",
    )
    retry_for_s: float = Field(
        default=3600,
        ge=0,
        le=30 * _DAY_S,
        allow_inf_nan=False,
        description="Seconds of failing after which a record becomes a dead letter.",
    )
    max_age_s: float = Field(
        default=604_800,
        ge=1,
        le=3650 * _DAY_S,
        allow_inf_nan=False,
        description="Seconds after which a record without expires-at is too old to be delivered.",
    )
    on_unknown: OnUnknown = Field(
        default="resend",
        description="After the loss of the reply to a complete mail. resend: rather two mails than none; dead_letter: "
        "rather none than two.",
    )
    dedup_window: int = Field(
        default=100_000, ge=0, le=10_000_000, description="Delivered event ids that are remembered, against duplicates."
    )
    drain_timeout_s: float = Field(
        default=25,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that records at work may take to finish when the worker stops.",
    )
    handler_timeout_s: float = Field(
        default=20, ge=0.001, le=3600, allow_inf_nan=False, description="Seconds that a handler may take."
    )
    health_host: Host = Field(default="127.0.0.1", description="Address that the health and metrics pages listen on.")
    health_port: Annotated[int | None, BeforeValidator(blank_is_none)] = Field(
        default=None, ge=1, le=65535, description="Their port; None: no pages."
    )
    mail_folder: OptionalFolder = Field(
        default=None, description="Folder into which mails are written as .eml files, in place of sending them."
    )
    consumer_options: Annotated[dict[str, OptionValue], NoDecode, PlainValidator(parser_of(ConsumerOptions))] = Field(
        default_factory=ConsumerOptions,
        description="Any librdkafka property of the consumer; overrides the others. In the environment: JSON.",
    )

    if TYPE_CHECKING:
        # What type checkers see in place of the fields: their names and the types that they take.
        def __init__(
            self,
            *,
            group_id: str = ...,
            topics: str | Sequence[str] = ...,
            from_address: str = ...,
            from_name: str | None = ...,
            reply_to: str | None = ...,
            envelope_from: str | None = ...,
            templates: str | PathLike[str] | None = ...,
            default_language: str = ...,
            concurrency: int = ...,
            retry_base_s: float = ...,
            retry_cap_s: float = ...,
            retry_for_s: float = ...,
            max_age_s: float = ...,
            on_unknown: Literal["resend", "dead_letter"] = ...,
            dedup_window: int = ...,
            drain_timeout_s: float = ...,
            handler_timeout_s: float = ...,
            health_host: str = ...,
            health_port: int | None = ...,
            mail_folder: str | PathLike[str] | None = ...,
            consumer_options: Mapping[str, OptionValue] = ...,
            _env_file: str | PathLike[str] | None = ...,
        ) -> None: ...

    def native_settings(self, email_topic: str | None = None) -> dict[str, Any]:
        """Return what the Rust half needs, secrets in plain text. Private to this package: never log or store it.

        The Rust half removes each text in ``secrets`` from its own texts, besides those of the connection.

        Args:
            email_topic: The e-mail topic of the ``KafkaConfig`` in use: what ``topics`` are unless they were set.

        Raises:
            pydantic.ValidationError: Fields that were assigned one by one contradict each other.
        """
        self._conclude(None, complete=True)
        options = ConsumerOptions(self.consumer_options)
        is_default = email_topic is not None and "topics" not in self.model_fields_set
        return {name: getattr(self, name) for name in _UNCHANGED} | {
            "topics": [email_topic] if is_default else list(self.topics),
            "envelope_from": self.envelope_from or self.from_address,
            "consumer_options": options.revealed(),
            "secrets": longest_first(options.secrets()),
        }

    @classmethod
    def _borrow(cls, loan: Loan) -> None:
        borrow_worker(loan)

    def _problems(self, *, complete: bool) -> Iterator[Problem]:  # noqa: ARG002 - these two are compared at once
        if self.retry_cap_s < self.retry_base_s:
            yield "retry_cap_s", f"is less than retry_base_s={self.retry_base_s:g}: raise it, or lower retry_base_s"


# The module that applications import it from; pickles, too, name this one.
WorkerConfig.__module__ = "kafka_email.config"

_UNCHANGED = (
    "group_id",
    "from_address",
    "from_name",
    "reply_to",
    "templates",
    "default_language",
    "concurrency",
    "retry_base_s",
    "retry_cap_s",
    "retry_for_s",
    "max_age_s",
    "on_unknown",
    "dedup_window",
    "drain_timeout_s",
    "handler_timeout_s",
    "health_host",
    "health_port",
    "mail_folder",
)
