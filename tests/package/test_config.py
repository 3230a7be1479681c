"""Fields of KafkaConfig one by one, and in the combinations that concern sending."""

import pytest
from pydantic import ValidationError

from kafka_email.config import KafkaConfig, KafkaTopics
from support.package.config_errors import assert_refused, refused_fields, wrong_fields

BROKERS = ["kafka-0:9092", "kafka-1:9092", "kafka-2:9092"]

# Contract: the fields and their defaults, no more and no less.
DEFAULTS = {
    "bootstrap_servers": BROKERS,
    "email_topic": "email-events",
    "client_id": "kafka-email",
    "acks": "all",
    "retries": 3,
    "max_in_flight_requests": 5,
    "compression_type": "gzip",
    "batching": "adaptive",
    "linger_ms": 10,
    "batch_size": 16384,
    "max_request_size": 1048576,
    "request_timeout_ms": 30000,
    "queue_max_messages": 100_000,
    "queue_max_bytes": 104_857_600,
    "max_connection_retries": 5,
    "retry_delay_seconds": 2,
    "required": True,
    "exit_flush_timeout_ms": 5000,
    "security_protocol": "PLAINTEXT",
    "sasl_mechanism": None,
    "sasl_username": None,
    "sasl_password": None,
    "sasl_oauth_token_provider": None,
    "ssl_cafile": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_key_password": None,
    "producer_options": {},
}

RANGES = {
    "retries": (0, 2_147_483_647),
    "max_in_flight_requests": (1, 1000),
    "linger_ms": (0, 900_000),
    "batch_size": (1, 2_147_483_647),
    "max_request_size": (1000, 1_000_000_000),
    "request_timeout_ms": (100, 86_400_000),
    "queue_max_messages": (1, 10_000_000),
    "queue_max_bytes": (1_048_576, 2_147_483_648),
    "max_connection_retries": (1, 2_147_483_647),
    "retry_delay_seconds": (0, 300),
    "exit_flush_timeout_ms": (0, 600_000),
}


def test_defaults():
    config = KafkaConfig()
    assert {name: getattr(config, name) for name in KafkaConfig.model_fields} == DEFAULTS
    assert config.model_fields_set == set()


def test_every_field_is_described():
    assert [name for name, field in KafkaConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("field", RANGES)
def test_range(field):
    low, high = RANGES[field]
    others = {"acks": "1", "queue_max_bytes": RANGES["queue_max_bytes"][1]}
    for value in (low, high):
        assert getattr(KafkaConfig(**{**others, field: value}), field) == value
    for value in (low - 1, high + 1):
        assert refused_fields(**{**others, field: value}) == {field}


@pytest.mark.parametrize("field", ["linger_ms", "retry_delay_seconds"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_durations_are_finite(field, value):
    assert refused_fields(**{field: value}) == {field}


def test_fractions_of_a_duration():
    assert KafkaConfig(linger_ms=0.5).native_settings()["linger_ms"] == 0.5
    assert KafkaConfig(retry_delay_seconds=0.0015).native_settings()["retry_delay_ms"] == 2


@pytest.mark.parametrize(("member", "value"), [(topic, topic.value) for topic in KafkaTopics])
def test_topics_are_their_text(member, value):
    assert str(member) == f"{member}" == "%s" % member == value == member  # noqa: UP031
    assert KafkaConfig(email_topic=member).email_topic == value
    assert type(KafkaConfig(email_topic=member).email_topic) is str


def test_topic_members():
    assert {topic.name: topic.value for topic in KafkaTopics} == {
        "EMAIL_EVENTS": "email-events",
        "USER_EVENTS": "user-events",
        "NOTIFICATION_EVENTS": "notification-events",
    }


@pytest.mark.parametrize("topic", ["a", "a.B_c-9", "x" * 249, "..."])
def test_topic_names(topic):
    assert KafkaConfig(email_topic=topic).email_topic == topic


@pytest.mark.parametrize("topic", ["", ".", "..", "x" * 250, "a b", "a/b", "ä", "a\n"])
def test_impossible_topic_names(topic):
    assert refused_fields(email_topic=topic) == {"email_topic"}


@pytest.mark.parametrize(
    ("given", "servers"),
    [
        (["a:1", "b:65535"], ["a:1", "b:65535"]),
        (("a:1", "b:2"), ["a:1", "b:2"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        (" a:1 , b:2 ", ["a:1", "b:2"]),
        ('["a:1", "b:2"]', ["a:1", "b:2"]),
        (' [ "a:1" ] ', ["a:1"]),
        ("127.0.0.1:9092", ["127.0.0.1:9092"]),
        ("a", ["a:9092"]),
        (["a", "b:2"], ["a:9092", "b:2"]),
        ("[::1]", ["[::1]:9092"]),
        ("a:1,b:2,", ["a:1", "b:2"]),
        (["a:1, b:2 ,"], ["a:1", "b:2"]),
        ("[::1]:9092,[fe80::1%eth0]:9093", ["[::1]:9092", "[fe80::1%eth0]:9093"]),
    ],
)
def test_bootstrap_servers(monkeypatch, given, servers):
    assert KafkaConfig(bootstrap_servers=given).bootstrap_servers == servers
    if isinstance(given, str):
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", given)
        assert KafkaConfig().bootstrap_servers == servers
        assert KafkaConfig().bootstrap_servers_string == ",".join(servers)


@pytest.mark.parametrize(
    "servers",
    [
        *("", ",", "a:", ":1", "a:0", "a:65536", "a:009092", "a:-1", "a:+1", "a:1x", "a:\u0661", "a:1,,b:2"),
        *("::1:9092", "::1", "[zz]:1", "SSL://a:1", "u@a:1", "a b:1", '["a:1"', "[1]", "[]"),
        *([], ["a:1", ""], ["a:1", 2], {"a:1": 1}, None, 5),
    ],
)
def test_impossible_bootstrap_servers(servers):
    assert refused_fields(bootstrap_servers=servers) == {"bootstrap_servers"}


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_that_an_env_file_keeps_are_named(monkeypatch, quote):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"{quote}a:1,b:2{quote}")
    with pytest.raises(ValidationError, match="without quotes"):
        KafkaConfig()


def test_an_event_may_not_be_larger_than_the_queue():
    error = assert_refused(max_request_size=2_097_152, queue_max_bytes=1_048_576)
    assert wrong_fields(error) == {"max_request_size"}
    assert "queue_max_bytes=1048576" in str(error)


def test_error_tells_which_server():
    assert assert_refused(bootstrap_servers="a:1,b:x,c:3").errors()[0]["loc"] == ("bootstrap_servers", 1)


@pytest.mark.parametrize("client_id", ["", "  ", "a\nb", "a\0", "\x7f", "\x85", "\ud800"])
def test_impossible_client_ids(client_id):
    assert refused_fields(client_id=client_id) == {"client_id"}


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compression(compression):
    assert KafkaConfig(compression_type=compression).compression_type == compression


def test_no_compression_may_be_none():
    assert KafkaConfig(compression_type=None).compression_type == "none"


@pytest.mark.parametrize(
    ("given", "acks"),
    [("all", "all"), ("-1", "all"), (-1, "all"), ("1", "1"), (1, "1"), ("0", "0"), (0, "0")],
)
def test_acks(given, acks):
    assert KafkaConfig(acks=given).acks == acks


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acks", "2"),
        ("acks", 2),
        ("acks", True),
        ("acks", None),
        ("compression_type", "brotli"),
        ("batching", "fast"),
        ("security_protocol", "TLS"),
        ("required", "maybe"),
        ("batch_size", 1.5),
        ("retries", None),
    ],
)
def test_impossible_values(field, value):
    assert refused_fields(**{field: value}) == {field}


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"max_in_flight_requests": 5}, True),
        ({"max_in_flight_requests": 6}, False),
        ({"max_in_flight_requests": 6, "retries": 0}, True),
        ({"max_in_flight_requests": 6, "acks": "1"}, True),
        ({"max_in_flight_requests": 6, "acks": 0}, True),
    ],
)
def test_order_needs_few_requests_in_flight(values, allowed):
    if allowed:
        assert KafkaConfig(**values).max_in_flight_requests == values["max_in_flight_requests"]
    else:
        error = assert_refused(**values)
        assert wrong_fields(error) == {"max_in_flight_requests"}
        assert "idempotence" in str(error)


@pytest.mark.parametrize("values", [{"linger_ms": 10}, {"batch_size": 16384}, {"linger_ms": 5, "batch_size": 9}])
def test_tuning_batches_means_linger(values):
    config = KafkaConfig(**values)
    assert config.batching == "linger"
    assert config.native_settings()["adaptive"] is False


def test_batching_may_be_named():
    assert KafkaConfig(batching="linger").linger_ms == 10
    assert KafkaConfig(batching="linger", linger_ms=3).linger_ms == 3
    assert KafkaConfig(batching="adaptive").native_settings()["adaptive"] is True


@pytest.mark.parametrize("values", [{"linger_ms": 5}, {"batch_size": 9}])
def test_adaptive_excludes_tuning(values):
    error = assert_refused(batching="adaptive", **values)
    assert wrong_fields(error) == {"batching"}
    assert next(iter(values)) in str(error)


def test_unknown_arguments_are_named_with_a_suggestion():
    message = str(assert_refused(bootstrap_server="a:1"))
    assert "bootstrap_server\n" in message
    assert "did you mean 'bootstrap_servers'?" in message
    assert "did you mean" not in str(assert_refused(zzz=1))


def test_native_settings():
    assert KafkaConfig(producer_options={"a.b": 1.5}).native_settings() == {
        "connection": {
            "bootstrap_servers": "kafka-0:9092,kafka-1:9092,kafka-2:9092",
            "client_id": "kafka-email",
            "security_protocol": "PLAINTEXT",
            "sasl_mechanism": None,
            "sasl_username": None,
            "sasl_password": None,
            "ssl_cafile": None,
            "ssl_certfile": None,
            "ssl_keyfile": None,
            "ssl_key_password": None,
            "secrets": [],
        },
        "compression_type": "gzip",
        "acks": "all",
        "retries": 3,
        "max_in_flight_requests": 5,
        "adaptive": True,
        "linger_ms": 10.0,
        "batch_size": 16384,
        "request_timeout_ms": 30000,
        "max_request_size": 1048576,
        "queue_max_messages": 100_000,
        "queue_max_bytes": 104_857_600,
        "producer_options": {"a.b": "1.5"},
        "email_topic": "email-events",
        "max_connection_attempts": 5,
        "retry_delay_ms": 2000,
        "required": True,
    }
