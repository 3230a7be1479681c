"""One key, one partition: the same one that Java's and aiokafka's clients choose."""

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from kafka_email import BasePublisher, EmailPublisher, KafkaConfig, RecordMetadata, kafka_manager
from kafka_email.testing import EmbeddedBroker

# Apache Kafka, clients, UtilsTest.testMurmur2
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def java_murmur2(key: bytes) -> int:
    """The 32-bit hash with the seed that Java's clients use, as an unsigned number."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    result = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        result = (result * m & mask) ^ k
    if key[whole:]:
        result = (result ^ int.from_bytes(key[whole:], "little")) * m & mask
    result = (result ^ result >> 13) * m & mask
    return result ^ result >> 15


@pytest.mark.parametrize(("key", "expected"), JAVA.items())
def test_the_oracle_is_javas(key: bytes, expected: int) -> None:
    assert java_murmur2(key) == expected % 2**32


def keys() -> list[bytes]:
    """Addresses, and anything else that is a key."""
    rng = random.Random(4711)
    addresses = [f"user{number}@mail{number % 13}.example.com" for number in range(800)]
    words = ["".join(rng.choices("abcäöüß名前🎉 .@-", k=rng.randint(1, 30))) for _ in range(200)]
    raw = [rng.randbytes(rng.randint(1, 40)) for _ in range(200)]
    return [text.encode() for text in (*addresses, *words, *(key.decode() for key in JAVA))] + raw


@pytest.mark.parametrize("partitions", [3, 6, 7, 12])
async def test_each_key_goes_where_java_and_aiokafka_put_it(partitions: int) -> None:
    everything = list(range(partitions))
    async with EmbeddedBroker() as broker:
        broker.create_topic("keyed", partitions)
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers))
        try:
            chosen = {key: (await BasePublisher("keyed").publish({}, key)).partition for key in keys()}
        finally:
            await kafka_manager.stop()
    for key, partition in chosen.items():
        assert partition == (java_murmur2(key) & 0x7FFFFFFF) % partitions
        assert partition == DefaultPartitioner()(key, everything, everything)
        assert java_murmur2(key) == murmur2(bytearray(key)) % 2**32
    assert set(chosen.values()) == set(everything)


ADDRESSES = [f"user{number}@mail{number % 13}.example.com" for number in range(1000)]
ADDRESSES += [f"Jörg {number} <user{number}@bücher.de>" for number in range(200)]


@pytest.mark.parametrize("partitions", [3, 6, 7, 12])
async def test_emails_and_plain_events_go_by_the_same_key(partitions: int) -> None:
    everything = list(range(partitions))
    async with EmbeddedBroker() as broker:
        broker.create_topic("mails", partitions)
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers, email_topic="mails"))
        try:
            emails = await EmailPublisher().publish_many(
                [{"email_type": "welcome", "recipient": address, "username": "Ann"} for address in ADDRESSES]
            )
            events = [await kafka_manager.send_event("mails", {}, address) for address in ADDRESSES[::10]]
        finally:
            await kafka_manager.stop()
    expected = [DefaultPartitioner()(address.encode(), everything, everything) for address in ADDRESSES]
    assert [email.partition for email in emails if isinstance(email, RecordMetadata)] == expected
    assert [event.partition for event in events] == expected[::10]


@pytest.mark.parametrize("key", ["", b"", None])
async def test_an_empty_key_is_no_key(key: "str | bytes | None") -> None:
    async with EmbeddedBroker() as broker:
        await kafka_manager.start(KafkaConfig(bootstrap_servers=broker.bootstrap_servers))
        try:
            await BasePublisher("keyless").publish({}, key)
        finally:
            await kafka_manager.stop()
        (record,) = broker.records("keyless")
    assert record.key is None
