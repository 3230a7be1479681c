"""The tests' own Kafka does what the other tests rely on, seen by clients that are not ours."""

import os
import select
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiokafka
import confluent_kafka
import pytest

from support.kafka import consume
from support.kafka.certificates import KEY_PASSWORD, Certificates
from support.kafka.cluster import PASSWORD, USER, Kafka, KafkaCluster

MakeKafka = Callable[..., KafkaCluster]


def produce(bootstrap_servers: str, topic: str, value: bytes, **options: Any) -> None:
    """Writes one record by confluent-kafka and waits until it is stored."""
    failures = []
    settings = {name.replace("_", "."): setting for name, setting in options.items()}
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap_servers, **settings})
    producer.produce(topic, value, b"key", headers={"name": b"header"}, on_delivery=lambda e, _: failures.append(e))
    assert producer.flush(20) == 0
    assert failures == [None]


def error_of(bootstrap_servers: str, **options: Any) -> confluent_kafka.KafkaError:
    """The first error that a confluent-kafka client meets when it connects."""
    errors: list[confluent_kafka.KafkaError] = []
    settings = {name.replace("_", "."): setting for name, setting in options.items()}
    client = confluent_kafka.Producer({"bootstrap.servers": bootstrap_servers, "error_cb": errors.append, **settings})
    deadline = time.monotonic() + 20
    while not errors and time.monotonic() < deadline:
        client.poll(0.1)
    assert errors, "no error came"
    return errors[0]


@pytest.fixture
def own(make_kafka: MakeKafka) -> Iterator[KafkaCluster]:
    with make_kafka(auto_create_topics=False) as cluster:
        yield cluster


class TestPlaintext:
    def test_both_consumers_see_the_same(self, kafka: Kafka, topic: str) -> None:
        produce(kafka.bootstrap_servers, topic, b"one")
        produce(kafka.bootstrap_servers, topic, b"two")
        first, second = kafka.consume(topic, 2)
        assert (first.value, second.value) == (b"one", b"two")
        assert (first.key, first.headers, first.offset) == (b"key", [("name", b"header")], 0)
        assert abs(first.timestamp_ms / 1000 - time.time()) < 60

    async def test_aiokafka_reads_what_confluent_kafka_reads(self, kafka: Kafka, topic: str) -> None:
        produce(kafka.bootstrap_servers, topic, b"one")
        assert await kafka.consume_async(topic, 1) == kafka.consume(topic, 1)

    async def test_aiokafka_writes(self, kafka: Kafka, topic: str) -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
            sent = await producer.send_and_wait(topic, b"value", key=b"key")
        (received,) = kafka.consume(topic, 1)
        assert (received.partition, received.offset) == (sent.partition, sent.offset)

    def test_too_few_records_are_an_error(self, kafka: Kafka, topic: str) -> None:
        with pytest.raises(AssertionError, match="0 of 1 records"):
            kafka.consume(topic, 1, timeout=1.0)

    def test_a_topic_has_six_partitions(self, kafka: Kafka, topic: str) -> None:
        consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "count"})
        assert len(consumer.list_topics(topic, timeout=10).topics[topic].partitions) == 6
        consumer.close()


class TestSecurity:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    @pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
    def test_login_by_confluent_kafka(
        self, secure_kafka: KafkaCluster, certificates: Certificates, protocol: str, mechanism: str
    ) -> None:
        login = {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": PASSWORD}
        tls = {"ssl_ca_location": str(certificates.ca_file)} if protocol == "SASL_SSL" else {}
        options: dict[str, Any] = {"security_protocol": protocol, **login, **tls}
        topic, address = secure_kafka.create_topic(), secure_kafka.address(protocol)
        produce(address, topic, b"value", **options)
        (received,) = consume.with_confluent_kafka(address, topic, 1, **options)
        assert received.value == b"value"

    async def test_login_by_aiokafka(self, secure_kafka: KafkaCluster, certificates: Certificates) -> None:
        login = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
        tls = {"ssl_context": ssl.create_default_context(cafile=certificates.ca_file)}
        options: dict[str, Any] = {"security_protocol": "SASL_SSL", **login, **tls}
        topic, address = secure_kafka.create_topic(), secure_kafka.address("SASL_SSL")
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=address, **options) as producer:
            await producer.send_and_wait(topic, b"value")
        (received,) = await consume.with_aiokafka(address, topic, 1, **options)
        assert received.value == b"value"

    def test_wrong_password_is_refused(self, secure_kafka: KafkaCluster) -> None:
        login = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": USER, "sasl_password": "wrong"}
        error = error_of(secure_kafka.address("SASL_PLAINTEXT"), security_protocol="SASL_PLAINTEXT", **login)
        assert error.code() == confluent_kafka.KafkaError._AUTHENTICATION

    def test_unsigned_token(self, secure_kafka: KafkaCluster) -> None:
        token = {"enable_sasl_oauthbearer_unsecure_jwt": True, "sasl_oauthbearer_config": f"principal={USER}"}
        options: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER", **token}
        produce(secure_kafka.address("SASL_PLAINTEXT"), secure_kafka.create_topic(), b"value", **options)

    @pytest.mark.parametrize("locked", [False, True])
    def test_client_certificate(self, secure_kafka: KafkaCluster, certificates: Certificates, locked: bool) -> None:
        key = certificates.client_locked_key_file if locked else certificates.client_key_file
        tls = {"ssl_ca_location": str(certificates.ca_file), "ssl_key_password": KEY_PASSWORD if locked else ""}
        own = {"ssl_certificate_location": str(certificates.client_cert_file), "ssl_key_location": str(key)}
        topic, address = secure_kafka.create_topic(), secure_kafka.address("MUTUAL_SSL")
        produce(address, topic, b"value", security_protocol="SSL", **tls, **own)

    def test_no_client_certificate(self, secure_kafka: KafkaCluster, certificates: Certificates) -> None:
        tls: dict[str, Any] = {"security_protocol": "SSL", "ssl_ca_location": str(certificates.ca_file)}
        produce(secure_kafka.address("SSL"), secure_kafka.create_topic(), b"value", **tls)
        assert "bad certificate" in error_of(secure_kafka.address("MUTUAL_SSL"), **tls).str()


class TestLifeCycle:
    def test_restart_keeps_address_and_data(self, own: KafkaCluster) -> None:
        topic, address = own.create_topic(), own.bootstrap_servers
        produce(address, topic, b"before")
        own.restart()
        produce(address, topic, b"after")
        assert [record.value for record in own.consume(topic, 2)] == [b"before", b"after"]

    def test_killed_node_starts_again(self, own: KafkaCluster) -> None:
        topic = own.create_topic()
        produce(own.bootstrap_servers, topic, b"before")
        own.kill()
        assert error_of(own.bootstrap_servers).code() == confluent_kafka.KafkaError._TRANSPORT
        own.start()
        assert len(own.consume(topic, 1)) == 1

    def test_paused_node_answers_again(self, own: KafkaCluster) -> None:
        topic = own.create_topic()
        own.pause()
        with pytest.raises(confluent_kafka.KafkaException):
            confluent_kafka.Producer({"bootstrap.servers": own.bootstrap_servers}).list_topics(timeout=1)
        own.resume()
        produce(own.bootstrap_servers, topic, b"value")

    def test_data_is_removed(self, make_kafka: MakeKafka) -> None:
        with make_kafka() as cluster:
            assert cluster.nodes[0].log_path.exists()
        assert not cluster.nodes[0].log_path.parent.exists()

    def test_three_nodes_survive_the_loss_of_one(self, make_kafka: MakeKafka) -> None:
        with make_kafka(nodes=3) as cluster:
            topic = cluster.create_topic()
            cluster.nodes[0].kill()
            produce(cluster.bootstrap_servers, topic, b"value", acks="all")
            assert len(cluster.consume(topic, 1)) == 1

    def test_kafka_does_not_outlive_a_killed_run(self, tmp_path: Path) -> None:
        start = """
from support.kafka.cluster import KafkaCluster
own = KafkaCluster().__enter__()
print(own.nodes[0].pid)
input()
"""
        tests = Path(__file__).parent.parent
        with subprocess.Popen(
            [sys.executable, "-uc", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tests), "TMPDIR": str(tmp_path)},
        ) as run:
            assert run.stdout is not None
            kafka = os.pidfd_open(int(run.stdout.readline()))
            run.kill()
        assert select.select([kafka], [], [], 20)[0], "Kafka still runs"
        os.close(kafka)
