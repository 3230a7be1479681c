"""Properties of librdkafka that a configuration has no field for. The secrets among them cannot be printed."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, TypeVar

from pydantic import SecretStr

from kafka_email.config.values import is_sendable

if TYPE_CHECKING:
    from typing_extensions import Self

OptionValue: TypeAlias = str | int | float | bool | SecretStr

# Better to hide a harmless value (the path of a key) than to show a secret.
_SECRET_NAME = re.compile(
    r"password|passphrase|passwd|secret|token|credential|jaas|jwt|assertion|oauthbearer\.config|pem"
    r"|(?:^|[._-])key(?:$|[._-])",
    re.IGNORECASE,
)


# Names that librdkafka has for one property, by the name that this package sets (CONFIGURATION.md, "Alias for").
_ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "sasl.mechanisms": "sasl.mechanism",
    "queue.buffering.max.ms": "linger.ms",
    "retries": "message.send.max.retries",
    "compression.codec": "compression.type",
    "request.required.acks": "acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.commit.enable": "enable.auto.commit",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
}
_MOCK = re.compile(r"test\.mock\.", re.IGNORECASE)

FALSE = frozenset({"", "0", "f", "false"})


class Forbidden(NamedTuple):
    """Why a property cannot be set, and the values, in lower case, that change nothing and are accepted."""

    why: str
    harmless: frozenset[str] = FALSE


class Options(dict[str, OptionValue]):
    """Property names and their values as text; a value whose name sounds like a secret becomes a ``SecretStr``.

    A property may be given under any of librdkafka's names for it, but under one only.
    """

    # Properties that would break a promise of this package, by the name that it sets.
    forbidden: ClassVar[Mapping[str, Forbidden]] = {}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(options or {})

    def __setitem__(self, name: str, value: Any) -> None:
        checked = self._checked(name, value)
        for other in self:
            if other != name and _canonical(other) == _canonical(name):
                raise ValueError(f"{other!r} and {name!r} are two names of one property: give one of them")
        super().__setitem__(name, checked)

    def __ior__(self, options: Any) -> "Self":  # type: ignore[override,misc]
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
        """Return the plain texts, for librdkafka only, by the names that this package sets: the last word is theirs."""
        return {_canonical(name): _revealed(value) for name, value in self.items()}

    def plain(self, name: str) -> str | None:
        """Return the value of a property that is no secret, given under whichever name."""
        return self.revealed().get(name)

    def secrets(self) -> list[SecretStr]:
        """Return the values that are secrets."""
        return [value for value in self.values() if isinstance(value, SecretStr)]

    def _checked(self, name: object, value: object) -> str | SecretStr:
        if not isinstance(name, str) or not name or not is_sendable(name):
            raise ValueError("the name of each librdkafka property must be text")
        plain = _text(value)
        if plain is None or not is_sendable(plain):
            raise ValueError(f"the value of {name!r} must be text without NUL, a number or a bool")
        forbidden = self.forbidden.get(_canonical(name))
        if forbidden and plain.lower() not in forbidden.harmless:
            raise ValueError(f"{name!r} cannot be set: {forbidden.why}")
        if _MOCK.match(name):
            raise ValueError(
                f"{name!r} cannot be set: events would vanish in a mock cluster; tests have EmbeddedBroker"
            )
        return SecretStr(plain) if isinstance(value, SecretStr) or _SECRET_NAME.search(name) else plain


Kind = TypeVar("Kind", bound=Options)


def parser_of(kind: type[Kind]) -> Callable[[object], Kind]:
    """Return a function that accepts a mapping or, from the environment, a JSON object.

    It raises ``ValueError``, which shows no value, if it is given neither.
    """

    def parse(options: object) -> Kind:
        if isinstance(options, str):
            try:
                options = json.loads(options)
            except ValueError:
                options = None
        if not isinstance(options, Mapping):
            raise ValueError("must map librdkafka properties to values (in the environment: a JSON object)")
        return kind(options)

    return parse


def _canonical(name: str) -> str:
    return _ALIASES.get(name, name)


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
