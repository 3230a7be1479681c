"""Tokens, obtained from the application ahead of time and passed to the native half."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from kafka_email import _logging
from kafka_email._core import Token
from kafka_email.exceptions import AuthenticationError
from kafka_email.oauth import OAuthToken, UnusableTokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kafka_email.config import KafkaConfig
    from kafka_email.oauth import TokenProvider

# librdkafka asks for a new token when 80 % of the lifetime is over. By then it has ours.
_RENEW_AT = 0.7
_SHORTEST_PAUSE_S = 1.0
_RETRY_S = 5.0
_REPEAT_S = 30.0
_ANSWER_WITHIN_S = 30.0
_GLANCE_S = 0.5


class TokenSupply:
    """The application's provider of the tokens of one mechanism, such as ``OAUTHBEARER``.

    Args:
        mechanism: The mechanism, for texts.
        provider: The provider.
        log: Writes a line to the log, as ``_logging.log``.
    """

    def __init__(self, mechanism: str, provider: TokenProvider, log: Callable[[int, str, str], None]) -> None:
        self.mechanism = mechanism
        self.log = log
        self._provider = provider

    async def ask(self) -> OAuthToken:
        """Ask for a token.

        Raises:
            AuthenticationError: The provider failed, or returned something that is not a token.
        """
        # In a task of its own, which tells a provider that ends by CancelledError from a caller that is cancelled.
        asking = _begin(self._call())
        try:
            await asyncio.wait({asking}, timeout=_ANSWER_WITHIN_S)
        finally:
            asking.cancel()
        if not asking.done():
            raise self._failed(f"did not answer within {_ANSWER_WITHIN_S:.0f} s")
        if asking.cancelled():
            raise self._failed("failed with CancelledError")
        return asking.result()

    async def _call(self) -> OAuthToken:
        provider = self._provider
        try:
            asked = provider() if callable(provider) else provider.token()
            is_async = inspect.isawaitable(asked)
            answer = await asked if is_async else asked
            token = OAuthToken(answer) if is_async and isinstance(answer, str) else answer
        except UnusableTokenError as error:
            raise self._failed(f"has no usable token: {error}") from None
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            # The provider's own text may hold a secret; the type and the chain of causes say enough.
            raise self._failed(f"failed with {type(error).__name__}") from error
        if not is_async:
            raise self._failed(f"has to be async: it returned {type(asked).__name__}, which cannot be awaited")
        if not isinstance(token, OAuthToken):
            raise self._failed(f"returned {type(token).__name__}, not str or OAuthToken")
        return token

    def _failed(self, what: str) -> AuthenticationError:
        message = f"the {self.mechanism} token provider {what}"
        return AuthenticationError(message, code="SASL_AUTHENTICATION_FAILED")


def kafka_tokens(config: KafkaConfig, log: Callable[[int, str, str], None] = _logging.log) -> TokenSupply | None:
    """Return the supply of tokens for Kafka; None when the configuration has no provider."""
    provider = config.sasl_oauth_token_provider
    return None if provider is None else TokenSupply("OAUTHBEARER", provider, log)


async def fetch_token(supply: TokenSupply | None) -> OAuthToken | None:
    """Ask for a token, if there is a supply of them.

    Raises:
        AuthenticationError: The provider failed, or returned something that is not a token.
    """
    return None if supply is None else await supply.ask()


def fetch_token_in_thread(supply: TokenSupply | None) -> OAuthToken | None:
    """As ``fetch_token``, for a caller without an event loop, or with one that may not run the provider.

    Raises:
        AuthenticationError: The provider failed, or returned something that is not a token.
    """
    if supply is None:
        return None
    from concurrent.futures import ThreadPoolExecutor  # late: few need it, and it takes a millisecond

    with ThreadPoolExecutor(1, "kafka-email-token") as thread:
        return thread.submit(asyncio.run, supply.ask()).result()


def native_token(token: OAuthToken) -> Token:
    """Return a token that has just been obtained, as the native half takes it."""
    lifetime_s = max(token.lifetime_s, _SHORTEST_PAUSE_S / _RENEW_AT)
    return Token(value=token.value, principal=token.principal, expires_at_ms=int((time.time() + lifetime_s) * 1000))


def _begin(asking: Coroutine[Any, Any, OAuthToken]) -> asyncio.Task[OAuthToken]:
    """Make a task about which asyncio logs nothing when nobody waits for it any more, or when its loop ends."""
    task = asyncio.create_task(asking, name="kafka-email token")
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    # `asyncio.run` does not cancel a task that begins after it has cancelled all others.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


class TokenRefresher:
    """Renews the token of a client, from a thread of its own, until it is cancelled.

    The provider is called on the event loop on which this object is made, as long as that loop runs: what the provider
    uses, such as an HTTP session, may belong to it. After that, or without such a loop, each call gets its own.

    Args:
        supply: Where tokens come from.
        first: The token that the client has.
        hand_over: Gives the client another one; called from any thread.
    """

    def __init__(self, supply: TokenSupply, first: OAuthToken, hand_over: Callable[[OAuthToken], None]) -> None:
        self._supply = supply
        self._hand_over = hand_over
        self._home = asyncio._get_running_loop()
        self._cancelled = threading.Event()
        self._asking: tuple[asyncio.AbstractEventLoop, asyncio.Task[OAuthToken] | None] | None = None
        pause = _pause(first)
        self._thread = threading.Thread(target=self._renew, args=(pause,), name="kafka-email-token", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop renewing. May be called from any thread."""
        self._cancelled.set()
        self._cancel_call()

    def wait_ended(self, seconds: float) -> None:
        """Wait for the end of the thread after `cancel`; a provider may keep it from ending."""
        self._thread.join(seconds)

    def _renew(self, pause: float) -> None:
        failures = _Failures(self._supply)
        while not self._cancelled.wait(pause):
            try:
                token = self._ask_at_home() or asyncio.run(self._ask_here())
                self._hand_over(token)
            except BaseException as error:
                pause = _RETRY_S
                if not self._cancelled.is_set():
                    failures.log(error)
            else:
                pause = _pause(token)
                failures = _Failures(self._supply)

    def _ask_at_home(self) -> OAuthToken | None:
        """Ask on the home loop. None: it does not run, ends meanwhile, or is blocked."""
        home = self._home
        if home is None or not home.is_running():
            return None
        answered: SimpleQueue[asyncio.Task[OAuthToken]] = SimpleQueue()
        given_up = threading.Event()
        begun: list[Coroutine[Any, Any, OAuthToken]] = []

        def begin() -> None:
            if given_up.is_set():  # the loop rested, and another one was asked
                return
            asking = self._supply.ask()
            begun.append(asking)
            task = _begin(asking)
            task.add_done_callback(answered.put)
            self._set_call(home, task)

        deadline = time.monotonic() + _ANSWER_WITHIN_S + _GLANCE_S
        with suppress(RuntimeError, asyncio.CancelledError):  # it is closed; it has ended, which cancels its tasks
            home.call_soon_threadsafe(begin)
            while home.is_running() and time.monotonic() < deadline and not self._cancelled.is_set():
                with suppress(Empty):
                    return answered.get(timeout=_GLANCE_S).result()
            self._cancel_call()
        given_up.set()
        for asking in begun:
            # A loop that ends leaves its last tasks unstarted; Python would warn of what they never awaited.
            if inspect.getcoroutinestate(asking) == inspect.CORO_CREATED:
                asking.close()
        return None

    async def _ask_here(self) -> OAuthToken:
        self._set_call(asyncio.get_running_loop(), asyncio.current_task())
        return await self._supply.ask()

    def _set_call(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[OAuthToken] | None) -> None:
        self._asking = loop, task
        if self._cancelled.is_set():
            self._cancel_call()

    def _cancel_call(self) -> None:
        loop, task = self._asking or (None, None)
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(task.cancel)


class _Failures:
    """Failures in a row. One that repeats the last one is logged every 30 s."""

    def __init__(self, supply: TokenSupply) -> None:
        self._supply = supply
        self._cause = ""
        self._logged_at = float("-inf")

    def log(self, error: BaseException) -> None:
        now = time.monotonic()
        cause = str(error) if isinstance(error, AuthenticationError) else type(error).__name__
        if cause != self._cause or now - self._logged_at >= _REPEAT_S:
            self._cause, self._logged_at = cause, now
            with suppress(Exception):  # of a log handler or filter
                self._supply.log(
                    logging.ERROR, "token_failed", f"cannot renew the {self._supply.mechanism} token: {cause}"
                )


def _pause(token: OAuthToken) -> float:
    return max(token.lifetime_s * _RENEW_AT, _SHORTEST_PAUSE_S)
