"""Tokens for SASL OAUTHBEARER, and the providers through which an application supplies them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

_LONGEST_LIFETIME_S = 30 * 86_400.0


class UnusableTokenError(ValueError):
    """A token cannot be used as one; the text shows nothing of it."""


@dataclass(frozen=True)
class OAuthToken:
    """One bearer token. The provider is asked for the next one before the lifetime of this one is over.

    Attributes:
        value: The token, a secret.
        lifetime_s: Seconds, from now on, for which the token is valid; at most 30 days. However short it is, the
            provider is called once a second at most.
        principal: Name of the client that the token identifies; most brokers read it from the token.

    Raises:
        ValueError: The value is empty or holds a character that no token has, the lifetime is not above zero or longer
            than 30 days, or one of them is of a wrong type. The text shows none of them.
    """

    value: str = field(repr=False)
    lifetime_s: float = 300.0
    principal: str = ""

    def __post_init__(self) -> None:
        # Types as well: what a provider hands over is often a field of an answer in JSON.
        if not (_is_value(self.value) and _is_lifetime(self.lifetime_s) and _is_principal(self.principal)):
            raise UnusableTokenError(
                "an OAuthToken needs a value and a lifetime_s above zero: the value is printable ASCII without spaces, "
                "the lifetime is in seconds from now on (no milliseconds, no point in time) and at most 30 days, "
                "the principal is printable text"
            )


def _is_value(value: object) -> bool:
    # RFC 6750 allows fewer characters than these; others would break the message in which a token travels.
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable() and " " not in value


def _is_lifetime(lifetime_s: object) -> bool:
    return isinstance(lifetime_s, (int, float)) and 0 < lifetime_s <= _LONGEST_LIFETIME_S


def _is_principal(principal: object) -> bool:
    return isinstance(principal, str) and principal.isprintable()


class TokenSource(Protocol):
    """An object with an async ``token()``, such as aiokafka's ``AbstractTokenProvider``."""

    async def token(self) -> str | OAuthToken:
        """Return a token that is valid now."""


TokenProvider: TypeAlias = Callable[[], Awaitable[str | OAuthToken]] | TokenSource


def check_token_provider(provider: object) -> object:
    """Return ``provider`` if it can be asked for a token.

    Raises:
        ValueError: It cannot.
    """
    if provider is None or (not isinstance(provider, type) and _can_be_asked(provider)):
        return provider
    raise ValueError("must be a callable that returns an awaitable, or an object (no class) with an async token()")


def _can_be_asked(provider: object) -> bool:
    return callable(provider) or callable(getattr(provider, "token", None))
