"""Configuration: where Kafka is, how to reach it, and how events are sent.

Every field can come as an argument or as an environment variable: `KAFKA_` and the field's name in capitals.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from kafka_email._config_errors import impossible_combination, masked, unknown_argument
from kafka_email._config_rules import LINGER_FIELDS, delivery_problems, security_problems
from kafka_email._config_sources import KnownFields
from kafka_email._config_values import (
    Acks,
    Compression,
    Line,
    Mechanism,
    OptionalFile,
    OptionalLine,
    OptionalPath,
    OptionalSecret,
    Servers,
    TopicName,
)
from kafka_email._producer_options import OptionValue, ProducerOptions, parse_producer_options
from kafka_email.oauth import TokenProvider, check_token_provider
from kafka_email.topics import KafkaTopics

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KafkaConfig", "KafkaTopics", "kafka_config"]

_INT32_MAX = 2_147_483_647
_MIB = 1_048_576


class KafkaConfig(BaseSettings):
    """Settings of the connection and of the producer.

    An unknown argument, a value out of range and an impossible combination raise Pydantic's ValidationError, in which
    values never appear. Fields may be assigned until the manager starts and are validated then too; the `security_`,
    `sasl_` and `ssl_` fields, which make sense only together, are compared with each other when they are used.
    `model_copy(update=...)` validates as well. Variables of the environment that name no field are ignored.
    """

    model_config = SettingsConfigDict(
        env_prefix="KAFKA_", extra="forbid", validate_assignment=True, hide_input_in_errors=True
    )

    bootstrap_servers: Servers = Field(
        default_factory=lambda: ["kafka-0:9092", "kafka-1:9092", "kafka-2:9092"],
        description="Brokers to ask first, each host:port; a list, a JSON list or a comma-separated string.",
    )
    email_topic: TopicName = Field(default=KafkaTopics.EMAIL_EVENTS.value, description="Topic of the e-mail events.")
    client_id: Line = Field(default="kafka-email", description="Name of this client in the brokers' logs and quotas.")

    acks: Acks = Field(
        default="all", description="Who must have an event: all in-sync replicas (also -1), 1: the leader, 0: none."
    )
    retries: int = Field(
        default=3, ge=0, le=_INT32_MAX, description="0: never send twice; else retry until the deadline of the publish."
    )
    max_in_flight_requests: int = Field(
        default=5, ge=1, le=1000, description="Requests under way to one broker; at most 5 with acks=all and retries."
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
        default=True, description="Whether start() raises without Kafka; else it goes on in the background."
    )
    exit_flush_timeout_ms: int = Field(
        default=5000, ge=0, le=600_000, description="Milliseconds an exit without stop() waits for queued events."
    )

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
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

    producer_options: Annotated[dict[str, OptionValue], NoDecode, PlainValidator(parse_producer_options)] = Field(
        default_factory=ProducerOptions,
        description="Any librdkafka property: it has the last word. Text, or SecretStr if the name sounds secret.",
    )

    if not TYPE_CHECKING:  # type checkers keep the signatures that Pydantic gives them

        def __init__(self, **values: Any) -> None:
            error = None
            try:
                super().__init__(**values)
            except ValidationError as caught:
                error = masked(caught, type(self).model_fields)
            finally:
                values.clear()  # or a traceback with local variables shows them
            self._conclude(error, complete=True)

        def __setattr__(self, name: str, value: Any) -> None:
            changes = {name: value}
            del value
            self._assign(changes, complete=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Self":
        """Return a copy with `update` applied and, unlike Pydantic's own, validated (ValidationError)."""
        changes, update = dict(update or {}), None  # _set empties it
        copied = super().model_copy(deep=deep)
        if changes:
            copied._assign(changes, complete=True)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Self":
        memo = {} if memo is None else memo
        # A token provider may hold locks and connections: it is shared, not copied.
        memo[id(self.sasl_oauth_token_provider)] = self.sasl_oauth_token_provider
        return super().__deepcopy__(memo)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take unknown names seriously in the arguments only (a hook of pydantic-settings)."""
        outside = (env_settings, dotenv_settings, file_secret_settings)
        return (init_settings, *(KnownFields(settings_cls, source) for source in outside))

    @property
    def bootstrap_servers_string(self) -> str:
        """The brokers as librdkafka takes them: `host:port,host:port`."""
        return ",".join(self.bootstrap_servers)

    def native_settings(self) -> dict[str, Any]:
        """Return what the Rust half needs, secrets in plain text. Private to this package: never log or store it.

        Raises ValidationError if fields that were assigned one by one do not fit together.
        """
        self._conclude(None, complete=True)
        return {name: getattr(self, name) for name in _NATIVE_AS_THEY_ARE} | {
            "bootstrap_servers": self.bootstrap_servers_string,
            "adaptive": self.batching == "adaptive",
            "sasl_password": _revealed(self.sasl_password),
            "ssl_key_password": _revealed(self.ssl_key_password),
            "producer_options": ProducerOptions(self.producer_options).revealed(),
            "max_connection_attempts": self.max_connection_retries,
            "retry_delay_ms": round(self.retry_delay_seconds * 1000),
        }

    def _assign(self, changes: dict[str, Any], *, complete: bool) -> None:
        """Set all of `changes` or, raising ValidationError, none."""
        before = self.__dict__.copy(), self.__pydantic_fields_set__.copy()
        try:
            self._conclude(self._set(changes), complete=complete)
        except ValidationError:
            object.__setattr__(self, "__dict__", before[0])
            object.__setattr__(self, "__pydantic_fields_set__", before[1])
            raise

    def _set(self, changes: dict[str, Any]) -> ValidationError | None:
        """Set field after field; empties `changes`, so that no traceback with local variables shows them."""
        known = type(self).model_fields
        try:
            for name in list(changes):
                if name not in known and not hasattr(type(self), name):
                    return unknown_argument(type(self).__name__, name, known)
                super().__setattr__(name, changes.pop(name))
        except ValidationError as caught:
            return masked(caught, known)
        finally:
            changes.clear()
        return None

    def _conclude(self, error: ValidationError | None, *, complete: bool) -> None:
        """Raise `error` or what contradicts itself; outside of any `except`, so that no context leads to the values."""
        if error is None:
            given = self.model_fields_set
            if "batching" not in given:
                self.__dict__["batching"] = "adaptive" if given.isdisjoint(LINGER_FIELDS) else "linger"
            problems = [*delivery_problems(self), *(security_problems(self) if complete else ())]
            error = impossible_combination(type(self).__name__, problems) if problems else None
        if error is not None:
            raise error


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


_NATIVE_AS_THEY_ARE = (
    "acks",
    "batch_size",
    "client_id",
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
    "sasl_mechanism",
    "sasl_username",
    "security_protocol",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
)

kafka_config = KafkaConfig()
