"""Tokens for SASL OAUTHBEARER, and the providers through which an application supplies them."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


@dataclass(frozen=True)
class OAuthToken:
    """One bearer token. The provider is asked for the next one before the lifetime of this one is over.

    Attributes:
        value: The token, a secret.
        lifetime_s: Seconds, from now on, for which the token is valid.
        principal: Name of the client that the token identifies; most brokers read it from the token.

    Raises:
        ValueError: The value is empty, or the lifetime is not above zero.
    """

    value: str = field(repr=False)
    lifetime_s: float = 300.0
    principal: str = ""

    def __post_init__(self) -> None:
        if not self.value or not 0 < self.lifetime_s < math.inf:
            raise ValueError("an OAuthToken needs a value and a lifetime_s above zero")


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
