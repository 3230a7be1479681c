"""Which values of ``KafkaConfig`` contradict each other, although each is valid by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_email.config.errors import Problem
    from kafka_email.config.kafka import KafkaConfig

# Setting one of these asks for librdkafka's plain lingering.
LINGER_FIELDS = ("linger_ms", "batch_size")

_MAX_IDEMPOTENT_IN_FLIGHT = 5  # librdkafka's limit with enable.idempotence
_PASSWORD_FIELDS = ("sasl_username", "sasl_password")
_OAUTH_FIELDS = ("sasl_oauth_token_provider",)
_SASL_FIELDS = ("sasl_mechanism", *_PASSWORD_FIELDS, *_OAUTH_FIELDS)
_SSL_FIELDS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password")


def delivery_problems(config: KafkaConfig) -> Iterator[Problem]:
    """Find contradictions in how events are sent."""
    if config.acks == "all" and config.retries > 0 and config.max_in_flight_requests > _MAX_IDEMPOTENT_IN_FLIGHT:
        yield (
            "max_in_flight_requests",
            f"more than {_MAX_IDEMPOTENT_IN_FLIGHT} with acks='all' and retries cannot keep the order (idempotence): "
            "lower it, or set retries=0 or acks='1'",
        )
    if config.max_request_size > config.queue_max_bytes:
        yield (
            "max_request_size",
            f"is more than queue_max_bytes={config.queue_max_bytes}: an event of that size would never fit into the "
            "local queue; lower it, or raise queue_max_bytes",
        )
    fields = type(config).model_fields
    changed = [name for name in LINGER_FIELDS if getattr(config, name) != fields[name].default]
    if config.batching == "adaptive" and changed:
        yield "batching", f"'adaptive' does not use {' and '.join(changed)}: leave that out, or set batching='linger'"


def security_problems(config: KafkaConfig) -> Iterator[Problem]:
    """Find contradictions in how the brokers and this client authenticate each other."""
    yield from _sasl_problems(config)
    if not config.security_protocol.endswith("SSL"):
        for name in _given(config, _SSL_FIELDS):
            yield name, f"is not used with security_protocol={config.security_protocol!r}: set SSL or SASL_SSL"
    if (config.ssl_certfile is None) != (config.ssl_keyfile is None):
        lacking = "ssl_keyfile" if config.ssl_keyfile is None else "ssl_certfile"
        yield lacking, "is missing: ssl_certfile and ssl_keyfile go together"


def _sasl_problems(config: KafkaConfig) -> Iterator[Problem]:
    given = _given(config, _SASL_FIELDS)
    if not config.security_protocol.startswith("SASL_"):
        for name in given:
            yield name, f"is not used with security_protocol={config.security_protocol!r}: set a SASL_ protocol"
        return
    if config.sasl_mechanism is None:
        yield "sasl_mechanism", f"is missing: security_protocol={config.security_protocol!r} needs one"
        return
    needed = _OAUTH_FIELDS if config.sasl_mechanism == "OAUTHBEARER" else _PASSWORD_FIELDS
    for name in _OAUTH_FIELDS + _PASSWORD_FIELDS:
        if name in needed and name not in given:
            yield name, f"is missing: sasl_mechanism={config.sasl_mechanism!r} needs it"
        elif name in given and name not in needed:
            yield name, f"is not used with sasl_mechanism={config.sasl_mechanism!r}: leave it out"


def _given(config: KafkaConfig, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(config, name) is not None]
