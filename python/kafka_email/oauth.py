"""Tokens for SASL OAUTHBEARER: what an application hands over so that Kafka lets it in."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


@dataclass(frozen=True)
class OAuthToken:
    """One bearer token, asked for again before its lifetime is over.

    `lifetime_s` counts seconds from now, `principal` is the name it speaks for (most brokers read it from the
    token). Raises ValueError if there is no value, or no time left.
    """

    value: str = field(repr=False)
    lifetime_s: float = 300.0
    principal: str = ""

    def __post_init__(self) -> None:
        if not self.value or not 0 < self.lifetime_s < math.inf:
            raise ValueError("an OAuthToken needs a value and a lifetime_s above zero")


class TokenSource(Protocol):
    """An object with an async `token()`, such as aiokafka's AbstractTokenProvider."""

    async def token(self) -> str | OAuthToken:
        """Return a token that is valid now."""


TokenProvider: TypeAlias = Callable[[], Awaitable[str | OAuthToken]] | TokenSource


def check_token_provider(provider: object) -> object:
    """Return `provider` if it can be asked for a token, else raise a ValueError."""
    if provider is None or (not isinstance(provider, type) and _can_be_asked(provider)):
        return provider
    raise ValueError("must be a callable that returns an awaitable, or an object (no class) with an async token()")


def _can_be_asked(provider: object) -> bool:
    return callable(provider) or callable(getattr(provider, "token", None))
