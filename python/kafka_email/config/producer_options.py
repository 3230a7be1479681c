"""Properties of librdkafka that ``KafkaConfig`` has no field for. The secrets among them cannot be printed."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import SecretStr

from kafka_email.config.values import is_sendable

OptionValue: TypeAlias = str | int | float | bool | SecretStr

# Better to hide a harmless value (the path of a key) than to show a secret.
_SECRET_NAME = re.compile(
    r"password|passphrase|passwd|secret|token|credential|jaas|jwt|assertion|oauthbearer\.config|pem"
    r"|(?:^|[._-])key(?:$|[._-])",
    re.IGNORECASE,
)


class ProducerOptions(dict[str, OptionValue]):
    """Property names and their values as text; a value whose name sounds like a secret becomes a ``SecretStr``."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(options or {})

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _checked(name, value))

    def __ior__(self, options: Any) -> "ProducerOptions":  # type: ignore[override,misc]
        self.update(options)
        return self

    def update(self, *args: Any, **options: Any) -> None:
        """Set several properties."""
        for name, value in dict(*args, **options).items():
            self[name] = value

    def setdefault(self, name: str, value: Any = None) -> OptionValue:
        """Set a property unless it is set already."""
        if name not in self:
            self[name] = value
        return self[name]

    def revealed(self) -> dict[str, str]:
        """Return the plain texts, for librdkafka only."""
        return {name: _revealed(value) for name, value in self.items()}

    def secrets(self) -> list[SecretStr]:
        """Return the values that are secrets."""
        return [value for value in self.values() if isinstance(value, SecretStr)]


def skips_verification(options: Mapping[str, OptionValue]) -> bool:
    """Return whether a property switches off the check of the brokers' certificates, or of the names in them."""
    plain = ProducerOptions(options).revealed()
    is_unchecked = plain.get("enable.ssl.certificate.verification", "true") != "true"
    return is_unchecked or plain.get("ssl.endpoint.identification.algorithm", "https") == "none"


def parse_producer_options(options: object) -> ProducerOptions:
    """Accept a mapping or, from the environment, a JSON object.

    Raises:
        ValueError: It is neither. The message shows no value.
    """
    if isinstance(options, str):
        try:
            options = json.loads(options)
        except ValueError:
            options = None
    if not isinstance(options, Mapping):
        raise ValueError("must map librdkafka properties to values (in the environment: a JSON object)")
    return ProducerOptions(options)


def _checked(name: object, value: object) -> str | SecretStr:
    if not isinstance(name, str) or not name or not is_sendable(name):
        raise ValueError("the name of each librdkafka property must be text")
    plain = _text(value)
    if plain is None or not is_sendable(plain):
        raise ValueError(f"the value of {name!r} must be text without NUL, a number or a bool")
    return SecretStr(plain) if isinstance(value, SecretStr) or _SECRET_NAME.search(name) else plain


def _text(value: object) -> str | None:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case _:
            return None


def _revealed(value: OptionValue) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
