"""The configuration of the connection to the mail server."""

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, SecretStr
from pydantic_settings import SettingsConfigDict

from kafka_email.config.base import BorrowingSettings
from kafka_email.config.errors import Problem
from kafka_email.config.foreign import borrow_smtp
from kafka_email.config.loan import Loan
from kafka_email.config.mail_values import Host, OptionalHeloName, OptionalRate, Port, Security, rate_per_second
from kafka_email.config.revealing import revealed
from kafka_email.config.values import OptionalLine, OptionalPath, OptionalSecret
from kafka_email.oauth import TokenProvider, check_token_provider

_TLS_PORT = 465
_DAY_MS = 86_400_000


class SmtpConfig(BorrowingSettings):
    """Settings of the mail server that the delivery worker hands its mails to.

    It has the rules of ``KafkaConfig``; ``username``, ``password`` and ``token_provider``, which make sense only
    together, are compared with each other when the worker starts. Where no variable ``SMTP_...`` and no argument sets a
    field, the variables of fastapi-mail and of the full-stack-fastapi-template are read: docs/configuration.md.
    """

    model_config = SettingsConfigDict(env_prefix="SMTP_")

    _application_objects: ClassVar[frozenset[str]] = frozenset({"token_provider"})

    host: Host = Field(description="Name or address of the mail server.")
    port: Port = Field(default=587, description="Its port.")
    security: Security = Field(
        default="starttls",
        description="tls: from the first byte; starttls: required before anything is sent; none: no encryption. Reads "
        "tls on port 465 when it was not set.",
    )
    username: OptionalLine = Field(default=None, description="User, for a password or for a token.")
    password: OptionalSecret = Field(default=None, description="Password for PLAIN and LOGIN.")
    token_provider: Annotated[TokenProvider | None, PlainValidator(check_token_provider)] = Field(
        default=None,
        exclude=True,
        repr=False,
        description="For XOAUTH2 in place of a password: a callable returning an awaitable, or an object with an async "
        "token(), of a str or an OAuthToken. Not from the environment.",
    )
    cafile: OptionalPath = Field(
        default=None, description="PEM file (or folder) of trusted certificates; the system's when None."
    )
    verify: bool = Field(default=True, description="Whether the server's certificate and the name in it are checked.")
    cleartext_auth: bool = Field(
        default=False, description="Whether credentials may go without encryption to a host other than this one."
    )
    helo_name: OptionalHeloName = Field(default=None, description="Name of this host in EHLO; its address when None.")
    max_connections: int = Field(default=10, ge=1, le=1000, description="Connections of this worker to the server.")
    max_mails_per_connection: int = Field(
        default=100, ge=1, le=1_000_000, description="Mails after which a connection is closed."
    )
    idle_timeout_ms: int = Field(
        default=10_000, ge=0, le=_DAY_MS, description="Milliseconds after which an idle connection is closed."
    )
    connect_timeout_ms: int = Field(
        default=10_000, ge=1, le=_DAY_MS, description="Milliseconds for a connection, TLS included."
    )
    reply_timeout_ms: int = Field(default=60_000, ge=1, le=_DAY_MS, description="Milliseconds for a reply.")
    dot_timeout_ms: int = Field(
        default=600_000, ge=1, le=_DAY_MS, description="Milliseconds for the reply to a complete mail."
    )
    rate_limit: OptionalRate = Field(
        default=None, description='Mails of this worker alone: "14/s", also /m and /h; None: no limit.'
    )

    if TYPE_CHECKING:
        # What type checkers see in place of the fields: their names and the types that they take.
        def __init__(
            self,
            *,
            host: str = ...,
            port: int = ...,
            security: Literal["tls", "starttls", "none"] = ...,
            username: str | None = ...,
            password: str | SecretStr | None = ...,
            token_provider: TokenProvider | None = ...,
            cafile: str | PathLike[str] | None = ...,
            verify: bool = ...,
            cleartext_auth: bool = ...,
            helo_name: str | None = ...,
            max_connections: int = ...,
            max_mails_per_connection: int = ...,
            idle_timeout_ms: int = ...,
            connect_timeout_ms: int = ...,
            reply_timeout_ms: int = ...,
            dot_timeout_ms: int = ...,
            rate_limit: str | None = ...,
            _env_file: str | PathLike[str] | None = ...,
        ) -> None: ...

    @property
    def mails_per_second(self) -> float | None:
        """What ``rate_limit`` says, in mails a second."""
        return None if self.rate_limit is None else rate_per_second(self.rate_limit)

    def native_settings(self) -> dict[str, Any]:
        """Return what the Rust half needs, secrets in plain text. Private to this package: never log or store it.

        Raises:
            pydantic.ValidationError: Fields that were assigned one by one contradict each other.
        """
        self._conclude(None, complete=True)
        return {name: getattr(self, name) for name in _UNCHANGED} | {
            "password": revealed(self.password),
            "has_token": self.token_provider is not None,
        }

    @classmethod
    def _borrow(cls, loan: Loan) -> None:
        borrow_smtp(loan)

    def _derive(self) -> None:
        if "security" not in self.model_fields_set:
            self.__dict__["security"] = "tls" if self.port == _TLS_PORT else "starttls"

    def _problems(self, *, complete: bool) -> Iterator[Problem]:
        if complete:
            yield from self._credential_problems()
            yield from self._certificate_problems()

    def _credential_problems(self) -> Iterator[Problem]:
        if self.token_provider is not None:
            if self.password is not None:
                yield "password", "is not used with token_provider: leave one of them out"
            if self.username is None:
                yield "username", "is missing: token_provider needs the user that its tokens are for"
        elif (self.username is None) != (self.password is None):
            lacking = "username" if self.username is None else "password"
            yield lacking, "is missing: username and password go together"

    def _certificate_problems(self) -> Iterator[Problem]:
        if self.cafile is not None and self.security == "none":
            yield "cafile", "is not used with security='none': set 'tls' or 'starttls'"
        elif self.cafile is not None and not self.verify:
            yield "cafile", "is not used with verify=False: leave one of them out"


# The module that applications import it from; pickles, too, name this one.
SmtpConfig.__module__ = "kafka_email.config"

_UNCHANGED = (
    "host",
    "port",
    "security",
    "username",
    "cafile",
    "verify",
    "cleartext_auth",
    "helo_name",
    "max_connections",
    "max_mails_per_connection",
    "idle_timeout_ms",
    "connect_timeout_ms",
    "reply_timeout_ms",
    "dot_timeout_ms",
)
