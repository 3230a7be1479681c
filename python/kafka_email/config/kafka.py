"""The configuration of the connection to Kafka and of the producer."""

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from kafka_email.config.base import GuardedSettings
from kafka_email.config.errors import Problem
from kafka_email.config.options import OptionValue, parser_of
from kafka_email.config.producer_options import ProducerOptions
from kafka_email.config.revealing import longest_first, revealed
from kafka_email.config.rules import LINGER_FIELDS, delivery_problems, security_problems
from kafka_email.config.values import (
    Acks,
    Compression,
    Line,
    Mechanism,
    OptionalFile,
    OptionalLine,
    OptionalPath,
    OptionalSecret,
    Protocol,
    Servers,
    TopicName,
)
from kafka_email.oauth import TokenProvider, check_token_provider
from kafka_email.topics import KafkaTopics

_INT32_MAX = 2_147_483_647
_MIB = 1_048_576


class KafkaConfig(GuardedSettings):
    """Settings of the connection and of the producer.

    An unknown argument, a value out of range and an impossible combination raise Pydantic's ``ValidationError``, in
    which values never appear. Fields may be assigned until the manager starts and are validated then too; the
    ``security_``, ``sasl_`` and ``ssl_`` fields, which make sense only together, are compared with each other when the
    manager starts. ``model_copy(update=...)`` validates as well. Environment variables that name no field are ignored.
    """

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    _application_objects: ClassVar[frozenset[str]] = frozenset({"sasl_oauth_token_provider"})

    bootstrap_servers: Servers = Field(
        default_factory=lambda: ["kafka-0:9092", "kafka-1:9092", "kafka-2:9092"],
        description="Brokers to ask first, each host:port; a list, a JSON list or a comma-separated string.",
    )
    email_topic: TopicName = Field(default=KafkaTopics.EMAIL_EVENTS.value, description="Topic of the e-mail events.")
    client_id: Line = Field(default="kafka-email", description="Name of this client in the brokers' logs and quotas.")

    acks: Acks = Field(
        default="all",
        description="Which replicas must store an event: all that are in sync (also -1), 1: the leader, 0: none.",
    )
    retries: int = Field(
        default=3, ge=0, le=_INT32_MAX, description="0: never send twice; else retry until the deadline of the publish."
    )
    max_in_flight_requests: int = Field(
        default=5, ge=1, le=1000, description="Requests in flight to one broker; at most 5 with acks=all and retries."
    )
    compression_type: Compression = Field(default="gzip", description="How batches are compressed.")
    batching: Literal["adaptive", "linger"] = Field(
        default="adaptive",
        description="adaptive: send at once, batch behind the requests in flight; linger: wait for linger_ms or "
        "batch_size. Reads linger when one of those two was set and this was not.",
    )
    linger_ms: float = Field(
        default=10, ge=0, le=900_000, allow_inf_nan=False, description="Milliseconds a batch waits for more events."
    )
    batch_size: int = Field(default=16_384, ge=1, le=_INT32_MAX, description="Bytes of a batch that waits no longer.")
    max_request_size: int = Field(
        default=_MIB, ge=1000, le=1_000_000_000, description="Bytes of the largest event, key and headers included."
    )
    request_timeout_ms: int = Field(
        default=30_000, ge=100, le=86_400_000, description="Milliseconds: the deadline of a publish, retries included."
    )
    queue_max_messages: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Events the local queue holds; when full, publishes wait."
    )
    queue_max_bytes: int = Field(
        default=100 * _MIB, ge=_MIB, le=2048 * _MIB, description="Bytes the local queue holds, in steps of 1024."
    )

    max_connection_retries: int = Field(
        default=5, ge=1, le=_INT32_MAX, description="Attempts to connect before start() gives up, the first included."
    )
    retry_delay_seconds: float = Field(
        default=2, ge=0, le=300, allow_inf_nan=False, description="Seconds before attempt two; doubles up to a cap."
    )
    required: bool = Field(
        default=True, description="Whether start() raises without Kafka; else it connects in the background."
    )
    exit_flush_timeout_ms: int = Field(
        default=5000, ge=0, le=600_000, description="Milliseconds an exit without stop() waits for queued events."
    )

    security_protocol: Protocol = Field(
        default="PLAINTEXT", description="Encryption (SSL) and authentication (SASL) of the connection."
    )
    sasl_mechanism: Mechanism = Field(default=None, description="How to authenticate; needs a SASL_ protocol.")
    sasl_username: OptionalLine = Field(default=None, description="User for PLAIN and SCRAM.")
    sasl_password: OptionalSecret = Field(default=None, description="Password for PLAIN and SCRAM.")
    sasl_oauth_token_provider: Annotated[TokenProvider | None, PlainValidator(check_token_provider)] = Field(
        default=None,
        exclude=True,
        repr=False,
        description="For OAUTHBEARER: a callable returning an awaitable, or an object with an async token(), of a str "
        "or an OAuthToken. Not from the environment.",
    )
    ssl_cafile: OptionalPath = Field(
        default=None, description="PEM file (or folder) of trusted certificates; the system's when None."
    )
    ssl_certfile: OptionalFile = Field(default=None, description="PEM file of the client's certificate.")
    ssl_keyfile: OptionalFile = Field(default=None, description="PEM file of the client's key.")
    ssl_key_password: OptionalSecret = Field(default=None, description="Password of the client's key.")

    producer_options: Annotated[dict[str, OptionValue], NoDecode, PlainValidator(parser_of(ProducerOptions))] = Field(
        default_factory=ProducerOptions,
        description="Any librdkafka property: it has the last word. Text, or SecretStr if the name sounds secret.",
    )

    if TYPE_CHECKING:
        # For type checkers, which do not know what the validation of a field converts.
        def __init__(
            self,
            *,
            bootstrap_servers: str | list[str] | tuple[str, ...] = ...,
            email_topic: str = ...,
            client_id: str = ...,
            acks: Literal["all", "-1", "1", "0", -1, 1, 0] = ...,
            retries: int = ...,
            max_in_flight_requests: int = ...,
            compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] | None = ...,
            batching: Literal["adaptive", "linger"] = ...,
            linger_ms: float = ...,
            batch_size: int = ...,
            max_request_size: int = ...,
            request_timeout_ms: int = ...,
            queue_max_messages: int = ...,
            queue_max_bytes: int = ...,
            max_connection_retries: int = ...,
            retry_delay_seconds: float = ...,
            required: bool = ...,
            exit_flush_timeout_ms: int = ...,
            security_protocol: str = ...,
            sasl_mechanism: str | None = ...,
            sasl_username: str | None = ...,
            sasl_password: str | SecretStr | None = ...,
            sasl_oauth_token_provider: TokenProvider | None = ...,
            ssl_cafile: str | PathLike[str] | None = ...,
            ssl_certfile: str | PathLike[str] | None = ...,
            ssl_keyfile: str | PathLike[str] | None = ...,
            ssl_key_password: str | SecretStr | None = ...,
            producer_options: Mapping[str, OptionValue] = ...,
            _env_file: str | PathLike[str] | None = ...,
        ) -> None: ...

    @property
    def bootstrap_servers_string(self) -> str:
        """The brokers as librdkafka takes them: ``host:port,host:port``."""
        return ",".join(self.bootstrap_servers)

    @property
    def effective_servers(self) -> str:
        """The brokers that librdkafka is given: ``producer_options`` have the last word. For texts."""
        return self._option("bootstrap.servers") or self.bootstrap_servers_string

    def _option(self, name: str) -> str | None:
        return ProducerOptions(self.producer_options).plain(name)

    def native_settings(self) -> dict[str, Any]:
        """Return what the Rust half needs, secrets in plain text. Private to this package: never log or store it.

        ``connection`` is what producer and worker share. The Rust half removes each text in ``secrets`` from its own
        texts; what is a secret is decided here only.

        Raises:
            pydantic.ValidationError: Fields that were assigned one by one contradict each other.
        """
        self._conclude(None, complete=True)
        options = ProducerOptions(self.producer_options)
        connection = {name: getattr(self, name) for name in _CONNECTION_UNCHANGED} | {
            "bootstrap_servers": self.effective_servers,
            "client_id": self._option("client.id") or self.client_id,
            "sasl_password": revealed(self.sasl_password),
            "ssl_key_password": revealed(self.ssl_key_password),
            "secrets": longest_first([self.sasl_password, self.ssl_key_password, *options.secrets()]),
        }
        return {name: getattr(self, name) for name in _DELIVERY_UNCHANGED} | {
            "connection": connection,
            "adaptive": self.batching == "adaptive",
            "producer_options": options.revealed(),
            "max_connection_attempts": self.max_connection_retries,
            "retry_delay_ms": round(self.retry_delay_seconds * 1000),
        }

    def _derive(self) -> None:
        given = self.model_fields_set
        if "batching" not in given:
            self.__dict__["batching"] = "adaptive" if given.isdisjoint(LINGER_FIELDS) else "linger"

    def _problems(self, *, complete: bool) -> Iterator[Problem]:
        yield from delivery_problems(self)
        if complete:
            yield from security_problems(self)


# The module that applications import it from; pickles, too, name this one.
KafkaConfig.__module__ = "kafka_email.config"


_CONNECTION_UNCHANGED = (
    "sasl_mechanism",
    "sasl_username",
    "security_protocol",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
)
_DELIVERY_UNCHANGED = (
    "acks",
    "batch_size",
    "compression_type",
    "email_topic",
    "linger_ms",
    "max_in_flight_requests",
    "max_request_size",
    "queue_max_bytes",
    "queue_max_messages",
    "request_timeout_ms",
    "required",
    "retries",
)
