"""What a publish fails with: class, code, and what the caller may conclude."""

import asyncio
import time

import pytest
from pydantic import ValidationError

from kafka_email import (
    AuthorizationError,
    BasePublisher,
    ConfigurationError,
    EmailPublisher,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageTooLargeError,
    ProducerFatalError,
    UnknownTopicError,
    kafka_manager,
)
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import (
    ADDRESS,
    TOPIC,
    config_for,
    eventually,
    publish,
    publishes,
    started,
    usernames,
)
from support.package.process import run_script

REFUSED = {
    "MESSAGE_TOO_LARGE": MessageTooLargeError,
    "RECORD_LIST_TOO_LARGE": MessageTooLargeError,
    "INVALID_TOPIC_EXCEPTION": UnknownTopicError,
    "TOPIC_AUTHORIZATION_FAILED": AuthorizationError,
    "CLUSTER_AUTHORIZATION_FAILED": AuthorizationError,
    "INVALID_REQUIRED_ACKS": ConfigurationError,
    "UNSUPPORTED_COMPRESSION_TYPE": ConfigurationError,
    "INVALID_TIMESTAMP": KafkaError,
    "POLICY_VIOLATION": KafkaError,
    "INVALID_RECORD": KafkaError,
}
RETRIED = (
    "CORRUPT_MESSAGE",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_OR_FOLLOWER",
    "REQUEST_TIMED_OUT",
    "BROKER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "KAFKA_STORAGE_ERROR",
)
FATAL = ("OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED")
OF_NO_TABLE = [-1, 25, 41, 54, 91, 100]
"""Codes that neither librdkafka nor this package has an opinion about."""
WITHOUT_PRODUCER_ID = {
    "CLUSTER_AUTHORIZATION_FAILED": AuthorizationError,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": AuthorizationError,
    "PRODUCER_FENCED": ProducerFatalError,
}
"""Codes that end a client before it has sent anything."""


async def failure(broker: EmbeddedBroker, code: str) -> KafkaError:
    broker.fail_next(code)
    with pytest.raises(KafkaError) as caught:
        await publish("refused")
    return caught.value


@pytest.mark.parametrize("code", REFUSED)
async def test_a_refused_event(code: str) -> None:
    async with started() as broker:
        error = await failure(broker, code)
        assert type(error) is REFUSED[code]
        assert (error.code, error.retriable, error.maybe_delivered, error.topic) == (code, False, False, TOPIC)
        assert not usernames(broker)


@pytest.mark.parametrize("code", OF_NO_TABLE)
async def test_a_code_of_no_table_refuses_one_event(code: int) -> None:
    async with started() as broker:
        broker.fail_next(code)
        with pytest.raises(KafkaError) as caught:
            await publish("refused")
        assert type(caught.value) is KafkaError
        assert (caught.value.retriable, caught.value.maybe_delivered) == (False, False)
        await publish("next")
        assert usernames(broker) == ["next"]


@pytest.mark.parametrize("code", [*OF_NO_TABLE, "COORDINATOR_NOT_AVAILABLE", "UNSUPPORTED_VERSION"])
@pytest.mark.parametrize("request_name", ["InitProducerId", "Metadata"])
async def test_a_code_that_passes_through_another_request_fails_no_event(request_name: str, code: "int | str") -> None:
    async with EmbeddedBroker() as broker:
        broker.fail_next(code, 2, request=request_name)
        await kafka_manager.start(config_for(broker))
        try:
            await publish()
            assert usernames(broker) == ["Ann"]
        finally:
            await kafka_manager.stop(0.1)


@pytest.mark.parametrize("code", WITHOUT_PRODUCER_ID)
async def test_a_client_that_gets_no_producer_id_says_why_and_comes_back(code: str) -> None:
    async with EmbeddedBroker() as broker:
        broker.fail_next(code, 3, request="InitProducerId")
        await kafka_manager.start(config_for(broker, required=False, request_timeout_ms=10_000))
        try:
            began = time.monotonic()
            with pytest.raises(WITHOUT_PRODUCER_ID[code]):
                await publish("refused")
            assert time.monotonic() - began < 2
            health = await kafka_manager.health()
            assert not health
            assert health.last_error
            await eventually(lambda: kafka_manager.is_connected, 15)
            await publish("granted")
            assert usernames(broker) == ["granted"]
        finally:
            await kafka_manager.stop(0.1)


@pytest.mark.parametrize("code", RETRIED)
async def test_a_passing_error_is_retried(code: str) -> None:
    async with started() as broker:
        broker.fail_next(code, 2)
        assert (await publish()).offset == 0
        assert usernames(broker) == ["Ann"]


async def test_retries_outlast_the_count_of_the_configuration() -> None:
    """A leader change lasts longer than three retries; the deadline ends it, not their number."""
    async with started(retries=3, request_timeout_ms=10_000) as broker:
        broker.fail_next("NOT_LEADER_OR_FOLLOWER", 6)
        assert (await publish()).offset == 0


async def test_without_retries_a_passing_error_is_raised() -> None:
    async with started(retries=0) as broker:
        error = await failure(broker, "NOT_ENOUGH_REPLICAS")
        assert (error.code, error.retriable, error.maybe_delivered) == ("NOT_ENOUGH_REPLICAS", True, False)
        await publish()


async def test_order_is_kept_over_retries() -> None:
    # One request at a time: the embedded broker does not check sequence numbers, as a real one does, and would store
    # the second of two requests whose first it was told to refuse.
    async with started(max_in_flight_requests=1, request_timeout_ms=15_000) as broker:
        await publish("first")
        broker.fail_next("NOT_LEADER_OR_FOLLOWER", 3)
        await asyncio.gather(*publishes(100))
        assert usernames(broker) == ["first", *map(str, range(100))]


@pytest.mark.parametrize("code", FATAL)
async def test_a_producer_that_librdkafka_gave_up_is_built_anew(code: str) -> None:
    async with started() as broker:
        await publish()
        error = await failure(broker, code)
        assert isinstance(error, ProducerFatalError)
        assert (error.code, error.retriable, error.topic) == (code, True, TOPIC)
        assert [(await publish()).offset for _ in range(3)] == [1, 2, 3]
        assert kafka_manager.is_connected


async def test_what_is_queued_behind_a_fatal_error_fails_with_it_or_is_delivered() -> None:
    """Nobody called stop(): to the callers behind it, the end of the old producer must not look as if."""
    async with started(request_timeout_ms=10_000) as broker:
        await publish()
        for _ in range(3):
            broker.round_trip_ms = 100
            broker.fail_next("OUT_OF_ORDER_SEQUENCE_NUMBER")
            first = publishes(1)
            await asyncio.sleep(0.03)
            results = await asyncio.gather(*first, *publishes(20), return_exceptions=True)
            broker.round_trip_ms = 0
            failed = [result for result in results if isinstance(result, BaseException)]
            assert failed
            assert {type(error) for error in failed} == {ProducerFatalError}
            await publish()


async def test_a_right_granted_afterwards_is_noticed() -> None:
    async with started() as broker:
        await failure(broker, "TOPIC_AUTHORIZATION_FAILED")
        deadline = time.monotonic() + 5
        while True:
            try:
                await publish()
            except AuthorizationError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            else:
                break


@pytest.mark.parametrize("milliseconds", [500, 1000, 2500])
async def test_with_the_cluster_down_the_deadline_holds_and_the_cause_is_named(milliseconds: int) -> None:
    async with started(request_timeout_ms=milliseconds) as broker:
        await publish()
        broker.broker_down()
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError) as caught:
            await publish()
        # librdkafka looks once a second: docs/decisions/retries.md
        assert time.monotonic() - began < max(milliseconds, milliseconds / 2 + 1000) / 1000 + 0.5
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert (error.code, error.retriable, error.maybe_delivered) == ("REQUEST_TIMED_OUT", True, False)
        assert broker.bootstrap_servers in str(error)
        assert "refused" in str(error)


async def test_without_an_answer_the_event_may_be_stored() -> None:
    async with started(request_timeout_ms=1000) as broker:
        await publish()
        broker.round_trip_ms = 10_000
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError) as caught:
            await publish()
        assert time.monotonic() - began < 1.5
        assert caught.value.maybe_delivered


async def test_an_outage_shorter_than_the_deadline_loses_nothing() -> None:
    async with started(request_timeout_ms=15_000) as broker:
        await publish("before")
        broker.broker_down()
        tasks = publishes(20)
        await asyncio.sleep(1)
        broker.broker_up()
        await asyncio.gather(*tasks)
        assert usernames(broker) == ["before", *map(str, range(20))]


async def test_publishing_works_again_after_an_outage() -> None:
    async with started() as broker:
        broker.broker_down()
        with pytest.raises(KafkaTimeoutError):
            await publish()
        broker.broker_up()
        await eventually(lambda: kafka_manager.is_connected, 10)
        await kafka_manager.health()
        await publish("after")
        assert usernames(broker) == ["after"]


async def test_a_reset_connection_does_not_claim_that_the_deadline_passed() -> None:
    async with started() as broker:
        error = await failure(broker, "NETWORK_EXCEPTION")
        assert isinstance(error, KafkaConnectionError)
        assert (error.code, error.retriable, error.topic) == ("NETWORK_EXCEPTION", True, TOPIC)
        assert "request_timeout_ms" not in str(error)


@pytest.mark.parametrize("batching", ["adaptive", "linger"])
async def test_an_event_too_large_fails_at_once_and_alone(batching: str) -> None:
    async with started(max_request_size=10_000, batching=batching) as broker:
        began = time.monotonic()
        with pytest.raises(MessageTooLargeError) as caught:
            await publish("x" * 10_000)
        assert time.monotonic() - began < 0.3
        error = caught.value
        assert isinstance(error, ValueError)
        assert (error.code, error.retriable, error.maybe_delivered, error.topic) == (
            "MESSAGE_TOO_LARGE",
            False,
            False,
            TOPIC,
        )
        assert "10000" in str(error)
        await publish()
        assert usernames(broker) == ["Ann"]


def test_encoding_stops_when_an_event_is_too_large_and_its_memory_is_given_back() -> None:
    script = """
import asyncio, resource
from kafka_email import EmailPublisher, KafkaConfig, MessageTooLargeError, kafka_manager
from kafka_email.testing import EmbeddedBroker

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

async def main():
    with EmbeddedBroker() as broker:
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers, **CONFIG))
        publish = EmailPublisher().publish_notification_email
        before = resident()
        try:
            await publish("ann@gmail.com", "Ann", "x" * 29_000_000, {"text": "x" * 29_000_000})
        except MessageTooLargeError:
            pass
        print(resident() - before)
        text = "x" * 100_000_000
        before = peak()
        for link, metadata in [(text, None), ("", {"a": {"b": [text]}}), ("", {"many": [0] * 30_000_000})]:
            try:
                await publish("ann@gmail.com", "Ann", link, metadata)
            except MessageTooLargeError as error:
                assert "max_request_size" in str(error)
            else:
                raise AssertionError("accepted")
            event = {"email_type": "notification", "recipient": "ann@gmail.com", "username": "Ann", "link": link}
            event["metadata"] = metadata or {}
            (error,) = await EmailPublisher().publish_many([event])
            assert isinstance(error, MessageTooLargeError), error
            assert "max_request_size" in str(error)
        (error,) = await EmailPublisher().publish_many([{**event, "metadata": {}, "username": text}])
        assert isinstance(error, MessageTooLargeError), error
        print(peak() - before - 30_000_000 * 8 // 2**20)
        await kafka_manager.stop()

asyncio.run(main())
"""
    config = {"max_request_size": 30_000_000, "compression_type": "none"}
    kept, taken = map(int, run_script(script.replace("CONFIG", repr(config))).out.split())
    assert taken < 90, "MB above what the events take themselves"
    assert kept < 30, "MB"


async def test_too_large_is_told_before_waiting_for_space() -> None:
    async with started(queue_max_messages=1, max_request_size=10_000) as broker:
        await publish()
        broker.round_trip_ms = 300
        tasks = publishes(5)
        await asyncio.sleep(0)
        with pytest.raises(MessageTooLargeError):
            await publish("x" * 10_000)
        broker.round_trip_ms = 0
        await asyncio.gather(*tasks)


async def test_errors_name_neither_address_nor_payload() -> None:
    async with started(request_timeout_ms=500, max_request_size=2000) as broker:
        broker.broker_down()
        errors = []
        for username in ("Ann-4711", "Ann-4711" * 1000):
            with pytest.raises(KafkaError) as caught:
                await EmailPublisher().publish_verification_email(ADDRESS, username, "https://x.example/?token=t0ken")
            errors.append(f"{caught.value!r} {caught.value} {caught.value.__dict__}")
        assert not any(word in "".join(errors) for word in (ADDRESS, "4711", "t0ken"))


async def test_many_come_back_in_order_with_failures_in_their_place() -> None:
    async with started(max_request_size=5000) as broker:
        names = ["a", "x" * 5000, "b", "y" * 5000, "c"]
        events = [{"email_type": "welcome", "recipient": ADDRESS, "username": name} for name in names]
        results = await EmailPublisher().publish_many(events)
        assert [isinstance(result, MessageTooLargeError) for result in results] == [False, True, False, True, False]
        assert [result.offset for result in results[::2]] == [0, 1, 2]
        assert usernames(broker) == ["a", "b", "c"]


async def test_many_that_are_not_all_valid_are_refused_as_a_whole() -> None:
    async with started() as broker:
        good = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}
        bad = {**good, "recipient": "nobody"}
        with pytest.raises(ValidationError) as caught:
            await EmailPublisher().publish_many([good, bad, good, {"email_type": "welcome"}, 5])  # type: ignore[list-item]
        assert {line["loc"][0] for line in caught.value.errors()} == {1, 3, 4}
        assert (await kafka_manager.stop()).delivered == 0
        assert not broker.records(TOPIC)


async def test_none_of_many_is_an_empty_list() -> None:
    async with started():
        assert await EmailPublisher().publish_many([]) == []


async def test_a_topic_that_kafka_allows_not() -> None:
    with pytest.raises(ValueError, match="topic"):
        BasePublisher("no such topic!")
    async with started():
        with pytest.raises(ValueError, match="topic"):
            await kafka_manager.send_event("../etc", {})
