"""OAUTHBEARER tokens: obtained on the application's event loop, ahead of time, and passed to the native half."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from kafka_email import _logging
from kafka_email._core import Token
from kafka_email.exceptions import AuthenticationError
from kafka_email.oauth import OAuthToken

if TYPE_CHECKING:
    from kafka_email._producer import PublishingProducer
    from kafka_email.config import KafkaConfig
    from kafka_email.oauth import TokenProvider

# librdkafka asks for a new token when 80 % of the lifetime is over. By then it has ours.
_RENEW_AT = 0.7
_RETRY_S = 5.0


async def fetch_token(config: KafkaConfig) -> Token | None:
    """Ask the application's provider for a token; None when the configuration has no provider.

    Raises:
        AuthenticationError: The provider failed, or returned something that is not a token.
    """
    provider = config.sasl_oauth_token_provider
    return None if provider is None else _native(await _ask(provider))


async def _ask(provider: TokenProvider) -> OAuthToken:
    try:
        answer = await (provider() if callable(provider) else provider.token())
    except Exception as error:
        # The provider's own text may hold a secret; the type and the chain of causes say enough.
        message = f"the OAUTHBEARER token provider failed with {type(error).__name__}"
        raise AuthenticationError(message, code="SASL_AUTHENTICATION_FAILED") from error
    if isinstance(answer, str):
        answer = OAuthToken(answer)
    if not isinstance(answer, OAuthToken):
        message = f"the OAUTHBEARER token provider returned {type(answer).__name__}, not str or OAuthToken"
        raise AuthenticationError(message, code="SASL_AUTHENTICATION_FAILED")
    return answer


def _native(token: OAuthToken) -> Token:
    expires_at_ms = int((time.time() + token.lifetime_s) * 1000)
    return Token(value=token.value, principal=token.principal, expires_at_ms=expires_at_ms)


class TokenRefresher:
    """Renews the token of a producer for as long as the event loop runs on which this object is made."""

    def __init__(self, producer: PublishingProducer, provider: TokenProvider) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._renew(producer, provider), name="kafka-email token")

    def cancel(self) -> None:
        """Stop renewing. May be called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _renew(self, producer: PublishingProducer, provider: TokenProvider) -> None:
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                token = await _ask(provider)
            except AuthenticationError as error:
                _logging.log(logging.ERROR, "token_failed", f"cannot renew the OAUTHBEARER token: {error}")
                pause = _RETRY_S
                continue
            producer.set_token(_native(token))
            pause = token.lifetime_s * _RENEW_AT
