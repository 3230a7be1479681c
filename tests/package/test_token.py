"""OAUTHBEARER tokens: who is asked for them, when and on which loop, and what is said when that fails."""

import asyncio
import contextvars
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from kafka_email import AuthenticationError, KafkaConfig, OAuthToken, _token, kafka_manager
from support.package.embedded import eventually
from support.ports import HOST, free_port

SECRET = "sesame-4711"
SHORT_S = 0.001
PATIENCE_S = 20.0


class Provider:
    """Answers with the tokens, or raises the exceptions, that it is given; with the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[asyncio.AbstractEventLoop, float]] = []
        self._called = threading.Condition()

    async def __call__(self) -> Any:
        with self._called:
            self.calls.append((asyncio.get_running_loop(), time.monotonic()))
            answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
            self._called.notify_all()
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    def wait_for(self, count: int) -> None:
        """Blocks until it was called so often."""
        with self._called:
            assert self._called.wait_for(lambda: len(self.calls) >= count, PATIENCE_S), len(self.calls)


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield

    async def stop() -> None:
        await kafka_manager.stop(0.1)
        await eventually(lambda: not refreshers(), 2)

    asyncio.run(stop())


def refreshers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "kafka-email-token"]


def config_for(provider: Any, **settings: Any) -> KafkaConfig:
    """A configuration with which `start()` connects in the background: nobody is there."""
    return KafkaConfig(
        **{
            "bootstrap_servers": f"{HOST}:{free_port()}",
            "required": False,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": provider,
            **settings,
        }
    )


def short() -> OAuthToken:
    return OAuthToken(SECRET, SHORT_S)


def not_async() -> str:
    return SECRET


class NotAsync:
    def token(self) -> OAuthToken:
        return OAuthToken(SECRET)


class OfTheProvider(BaseException):
    pass


UNUSABLE = "has no usable token: an OAuthToken needs a value and a lifetime_s above zero"

FAILURES: dict[str, tuple[Any, str]] = {
    "empty": (Provider(""), UNUSABLE),
    "an empty OAuthToken": (Provider(lambda: OAuthToken("")), UNUSABLE),
    "a lone surrogate": (Provider(f"{SECRET}\udc80"), UNUSABLE),
    "a lone surrogate in the principal": (Provider(lambda: OAuthToken(SECRET, principal="\udc80")), UNUSABLE),
    "NUL": (Provider(f"{SECRET}\0"), UNUSABLE),
    "a line break": (Provider(f"{SECRET}\r\n"), UNUSABLE),
    "bytes": (Provider(SECRET.encode()), "returned bytes, not str or OAuthToken"),
    "None": (Provider(None), "returned NoneType"),
    "an OAuthToken of bytes": (Provider(lambda: OAuthToken(SECRET.encode())), UNUSABLE),  # type: ignore[arg-type]
    "a lifetime of text": (Provider(lambda: OAuthToken(SECRET, "300")), UNUSABLE),  # type: ignore[arg-type]
    "a lifetime in milliseconds": (Provider(lambda: OAuthToken(SECRET, 3_600_000)), UNUSABLE),
    "a point in time": (Provider(lambda: OAuthToken(SECRET, time.time() + 3600)), UNUSABLE),
    "an overflow": (Provider(lambda: OAuthToken(SECRET, 1e300)), UNUSABLE),
    "an exception": (Provider(LookupError()), "failed with LookupError"),
    "AuthenticationError": (Provider(AuthenticationError("no")), "failed with AuthenticationError"),
    "no Exception": (Provider(OfTheProvider()), "failed with OfTheProvider"),
    "SystemExit": (Provider(SystemExit(1)), "failed with SystemExit"),
    "CancelledError": (Provider(asyncio.CancelledError()), "failed with CancelledError"),
    "a function": (not_async, "has to be async: it returned str, which cannot be awaited"),
    "a method": (NotAsync(), "has to be async: it returned OAuthToken, which cannot be awaited"),
    "wrong arguments": (lambda one: one, "failed with TypeError"),
}


@pytest.mark.parametrize(("provider", "words"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_start_without_a_token_is_an_authentication_error(provider: Any, words: str) -> None:
    with pytest.raises(AuthenticationError, match="token provider") as caught:
        await kafka_manager.start(config_for(provider))
    assert words in str(caught.value)
    assert (caught.value.code, caught.value.retriable) == ("SASL_AUTHENTICATION_FAILED", False)
    assert SECRET not in "".join(traceback.format_exception(caught.value)).replace(repr(SECRET), "") + repr(
        caught.value
    )


@pytest.mark.parametrize("lifetime_s", [3_600_000, 1_795_000_000, 1e300, 10**400, float("nan"), -1, "300", None])
def test_a_lifetime_is_in_seconds_and_at_most_30_days(lifetime_s: Any) -> None:
    with pytest.raises(ValueError, match=r"lifetime_s above zero.*in seconds.*at most 30 days"):
        OAuthToken(SECRET, lifetime_s)


async def test_a_cancelled_start_cancels_the_provider() -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def provider() -> str:
        asked.set()
        try:
            await asyncio.sleep(PATIENCE_S)
        finally:
            cancelled.set()
        return SECRET

    starting = asyncio.create_task(kafka_manager.start(config_for(provider)))
    await asked.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_a_provider_without_an_answer_does_not_hang_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_token, "_ANSWER_WITHIN_S", 0.1)
    with pytest.raises(AuthenticationError, match="did not answer"):
        await kafka_manager.start(config_for(asyncio.Event().wait))


async def test_the_loop_of_the_start_is_asked_while_it_runs() -> None:
    of_the_start = contextvars.ContextVar("of_the_start", default=False)
    seen: list[bool] = []
    provider = Provider(lambda: (seen.append(of_the_start.get()), short())[1])
    of_the_start.set(True)
    await kafka_manager.start(config_for(provider))
    await eventually(lambda: len(provider.calls) >= 3, PATIENCE_S)
    assert {loop for loop, _ in provider.calls} == {asyncio.get_running_loop()}
    assert seen[:3] == [True, False, False], "the context of the start is kept"


def test_when_the_loop_of_the_start_has_ended_tokens_are_renewed() -> None:
    provider = Provider(short)
    asyncio.run(kafka_manager.start(config_for(provider)))
    provider.wait_for(3)
    (first, _), (second, _), (third, _) = provider.calls[:3]
    assert first.is_closed()
    assert len({first, second, third}) > 1


def test_a_loop_that_stands_still_is_not_waited_for() -> None:
    provider = Provider(short)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(kafka_manager.start(config_for(provider)))
    provider.wait_for(3)
    loop.run_until_complete(kafka_manager.stop(0.1))
    loop.close()


def test_a_loop_that_rested_when_it_was_asked_does_not_ask_later() -> None:
    asked = threading.Event()

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *arguments: Any, **context: Any) -> asyncio.Handle:
            handle = super().call_soon_threadsafe(*arguments, **context)
            if threading.current_thread().name == "kafka-email-token":
                asked.set()
            return handle

    def rest_when_asked() -> None:
        asked.clear()
        loop.stop()
        assert asked.wait(PATIENCE_S)

    provider = Provider(short)
    loop = Loop()
    loop.run_until_complete(kafka_manager.start(config_for(provider)))
    loop.call_soon(rest_when_asked)
    loop.run_forever()
    before = len(provider.calls)
    provider.wait_for(before + 1)
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert loop not in [called_on for called_on, _ in provider.calls[before:]]


def test_a_call_under_way_when_its_loop_ends_is_made_again() -> None:
    hanging, answered = threading.Event(), threading.Event()

    async def provider() -> OAuthToken:
        if hanging.is_set():
            answered.set()
        elif len(refreshers()) == 1:
            hanging.set()
            await asyncio.sleep(PATIENCE_S)
        return short()

    async def start_and_leave_while_it_is_asked() -> None:
        await kafka_manager.start(config_for(provider))
        await asyncio.to_thread(hanging.wait, PATIENCE_S)

    asyncio.run(start_and_leave_while_it_is_asked())
    assert answered.wait(PATIENCE_S)


async def test_a_tiny_lifetime_makes_one_call_a_second() -> None:
    provider = Provider(short)
    await kafka_manager.start(config_for(provider))
    await eventually(lambda: len(provider.calls) >= 3, PATIENCE_S)
    times = [called_at for _, called_at in provider.calls]
    assert times[2] - times[0] >= 1.9


async def test_whatever_fails_is_logged_and_the_next_token_is_fetched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_token, "_RETRY_S", 0.01)
    answers = [failure.answers[0] for failure, _ in FAILURES.values() if isinstance(failure, Provider)]
    provider = Provider(short, *answers, short)
    await kafka_manager.start(config_for(provider))
    await eventually(lambda: len(provider.calls) >= len(answers) + 3, PATIENCE_S)
    lines = [record for record in caplog.records if record.getMessage().startswith("cannot renew the OAUTHBEARER")]
    assert {record.levelno for record in lines} == {logging.ERROR}
    for failure, words in FAILURES.values():
        assert not isinstance(failure, Provider) or any(words in record.getMessage() for record in lines), words
    assert not [record for record in caplog.records if SECRET in str(record.__dict__)]


async def test_a_failure_that_repeats_is_not_logged_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_token, "_RETRY_S", 0.01)
    provider = Provider(short, LookupError())
    await kafka_manager.start(config_for(provider))
    await eventually(lambda: len(provider.calls) >= 20, PATIENCE_S)
    assert caplog.text.count("cannot renew") == 1


async def test_tokens_are_renewed_while_the_start_still_connects() -> None:
    provider = Provider(short)
    starting = asyncio.create_task(kafka_manager.start(config_for(provider, required=True)))
    await eventually(lambda: len(provider.calls) >= 2, PATIENCE_S)
    assert not starting.done()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await eventually(lambda: not refreshers(), 2)


@pytest.mark.parametrize("own_loop", [False, True])
def test_a_stop_ends_a_call_under_way(own_loop: bool) -> None:
    asked, cancelled = threading.Event(), threading.Event()

    async def provider() -> OAuthToken:
        if refreshers():
            asked.set()
            try:
                await asyncio.sleep(PATIENCE_S)
            finally:
                cancelled.set()
        return short()

    async def start() -> None:
        await kafka_manager.start(config_for(provider))

    async def stop() -> None:
        assert await asyncio.to_thread(asked.wait, PATIENCE_S)
        await kafka_manager.stop(0.1)
        await eventually(lambda: cancelled.is_set() and not refreshers(), 2)

    async def start_and_stop() -> None:
        await start()
        await stop()

    if own_loop:
        asyncio.run(start())
        asyncio.run(stop())
    else:
        asyncio.run(start_and_stop())
