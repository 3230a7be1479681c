"""WorkerConfig: its fields one by one, in combination, changed, copied; its secrets."""

import copy
import pickle

import pytest
from pydantic import SecretStr, ValidationError

from kafka_email.config import KafkaTopics, WorkerConfig
from kafka_email.worker import WorkerConfig as ExportedConfig
from support.package.config_errors import refusal_of, wrong_fields
from support.package.secrecy import SECRET, assert_clean, renderings

FROM = "no-reply@example.com"
# Contract: the fields and their defaults, no more and no less.
DEFAULTS = {
    "group_id": "kafka-email-worker",
    "topics": ["email-events"],
    "from_address": FROM,
    "from_name": None,
    "reply_to": None,
    "envelope_from": None,
    "templates": None,
    "default_language": "en",
    "concurrency": 100,
    "retry_base_s": 1,
    "retry_cap_s": 300,
    "retry_for_s": 3600,
    "max_age_s": 604_800,
    "on_unknown": "resend",
    "dedup_window": 100_000,
    "drain_timeout_s": 25,
    "handler_timeout_s": 20,
    "health_host": "127.0.0.1",
    "health_port": None,
    "mail_folder": None,
    "consumer_options": {},
}
RANGES = {
    "concurrency": (1, 10_000),
    "retry_base_s": (0.001, 3600),
    "retry_cap_s": (0.001, 86_400),
    "retry_for_s": (0, 2_592_000),
    "max_age_s": (1, 315_360_000),
    "dedup_window": (0, 10_000_000),
    "drain_timeout_s": (0, 3600),
    "handler_timeout_s": (0.001, 3600),
    "health_port": (1, 65535),
}
SECONDS = [name for name in RANGES if name.endswith("_s")]
# Each is refused, with the secret in another place of the input.
REFUSED = {
    "unknown argument": {"form_name": SECRET},
    "address": {"from_address": f"{SECRET} x@example.com"},
    "address in another field": {"reply_to": SECRET},
    "name": {"from_name": SECRET + "\r\nBcc: x"},
    "topic": {"topics": [SECRET + " x"]},
    "topics": {"topics": f'["{SECRET}"'},
    "group": {"group_id": SECRET + "\n"},
    "int": {"concurrency": SECRET},
    "float": {"retry_for_s": SECRET},
    "language": {"default_language": SECRET + "/.."},
    "unknown": {"on_unknown": SECRET},
    "host": {"health_host": f"http://{SECRET}"},
    "option": {"consumer_options": {"sasl.password": [SECRET]}},
    "options beside another mistake": {"consumer_options": {"sasl.password": SECRET}, "concurrency": 0},
    "options are no JSON": {"consumer_options": f'{{"sasl.password": "{SECRET}"'},
}


def config_with(**values) -> WorkerConfig:
    return WorkerConfig(**{"from_address": FROM} | values)


def refused_fields(**values) -> set:
    return wrong_fields(refusal_of(config_with, **values))


def test_defaults():
    config = config_with()
    assert {name: getattr(config, name) for name in WorkerConfig.model_fields} == DEFAULTS
    assert ExportedConfig is WorkerConfig
    assert WorkerConfig.__module__ == "kafka_email.config"
    assert [name for name, field in WorkerConfig.model_fields.items() if not field.description] == []


def test_a_sender_is_required_and_the_error_says_where_to_set_it():
    assert "from_address\n  Field required: pass it, or set KAFKA_WORKER_FROM_ADDRESS" in str(refusal_of(WorkerConfig))


@pytest.mark.parametrize("field", RANGES)
def test_range(field):
    low, high = RANGES[field]
    others = {"retry_base_s": 0.001, "retry_cap_s": 86_400}
    for value in (low, high):
        assert getattr(config_with(**others | {field: value}), field) == value
    for value in (low - 1, high + 1):
        assert field in refused_fields(**others | {field: value})


@pytest.mark.parametrize("field", SECONDS)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_durations_are_finite(field, value):
    assert field in refused_fields(**{field: value})


def test_the_cap_of_delays_is_not_below_their_base():
    error = refusal_of(config_with, retry_base_s=10, retry_cap_s=9)
    assert wrong_fields(error) == {"retry_cap_s"}
    assert "retry_base_s=10" in str(error)
    config = config_with(retry_base_s=10, retry_cap_s=10)
    with pytest.raises(ValidationError, match="retry_cap_s"):
        config.retry_base_s = 11
    assert config.retry_base_s == 10


@pytest.mark.parametrize("field", ["from_address", "reply_to", "envelope_from"])
@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann+x@EXAMPLE.com ", "Ann+x@example.com"),
        ("root@localhost", "root@localhost"),
        ("no-reply@shop.local", "no-reply@shop.local"),
        ("a@mailpit", "a@mailpit"),
        ("a@shop.test", "a@shop.test"),
        ("ü@bücher.example.com", "ü@bücher.example.com"),
    ],
)
def test_addresses(field, given, address):
    assert config_with(**{field: given}).native_settings()[field] == address


@pytest.mark.parametrize("field", ["from_address", "reply_to", "envelope_from"])
@pytest.mark.parametrize(
    "address",
    [
        *("ann", "@example.com", "ann@", "a@b@c.com", "Ann <ann@example.com>", "<ann@example.com>", '"a@example.com"'),
        *("a@example.com,b@example.com", "a@example.com\n", "a\r\n@example.com", "a@exa\0mple.com", "a@192.0.2.1"),
        *("a b@example.com", "a@-x.com", "\ud800@example.com", 5),
    ],
)
def test_impossible_addresses(field, address):
    assert refused_fields(**{field: address}) == {field}


def test_bounces_go_to_the_sender_unless_another_address_is_set():
    assert config_with().native_settings()["envelope_from"] == FROM
    assert config_with(envelope_from="bounces@example.com").native_settings()["envelope_from"] == "bounces@example.com"


@pytest.mark.parametrize(
    ("given", "topics"),
    [
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ("a, b,", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        (KafkaTopics.USER_EVENTS, ["user-events"]),
        ([KafkaTopics.USER_EVENTS, "x" * 245], ["user-events", "x" * 245]),
    ],
)
def test_topics(monkeypatch, given, topics):
    config = config_with(topics=given)
    assert config.topics == topics
    assert {type(topic) for topic in config.topics} == {str}
    assert config.native_settings("mails")["topics"] == topics
    if type(given) is str:
        monkeypatch.setenv("KAFKA_WORKER_TOPICS", given)
        assert config_with().topics == topics


@pytest.mark.parametrize(
    "topics", ["", ",", [], "a b", "^a", '["a"', ["a", "a"], "a,a", "x" * 246, [1], None, {"a": 1}]
)
def test_impossible_topics(topics):
    assert refused_fields(topics=topics) == {"topics"}


def test_the_default_topic_is_the_one_of_the_connection(monkeypatch):
    assert config_with().native_settings("mails")["topics"] == ["mails"]
    monkeypatch.setenv("KAFKA_EMAIL_TOPIC", "other")
    monkeypatch.setenv("KAFKA_LINGER_MS", "soon")  # does no harm here
    assert config_with().topics == config_with().native_settings()["topics"] == ["other"]
    monkeypatch.setenv("KAFKA_EMAIL_TOPIC", SECRET + " ")
    error = refusal_of(config_with)
    assert "(from KAFKA_EMAIL_TOPIC)" in str(error)
    assert_clean(error)
    assert config_with(topics="a").topics == ["a"]


@pytest.mark.parametrize("language", ["en", "uk-UA", "zh_Hans", "sr-Latn-RS"])
def test_languages(language):
    assert config_with(default_language=language).default_language == language


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("default_language", text) for text in ("", "e", "en/", "..", "en.", "en\n")),
        *(("from_name", text) for text in ("a\nb", "a\0", "\x85")),
        *(("group_id", text) for text in ("", "a\nb", "\ud800")),
        *(("on_unknown", text) for text in ("drop", None)),
        *(("health_host", text) for text in ("", "http://x", "a:1")),
        ("templates", "/absent"),
        ("templates", __file__),
        ("mail_folder", __file__),
    ],
)
def test_impossible_values(field, value):
    assert refused_fields(**{field: value}) == {field}


def test_folders(tmp_path):
    config = config_with(templates=tmp_path, mail_folder=tmp_path / "is made later")
    native = config.native_settings()
    assert (native["templates"], native["mail_folder"]) == (str(tmp_path), str(tmp_path / "is made later"))
    assert config_with(mail_folder=tmp_path).mail_folder == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "harmless"),
    [
        ("enable.auto.commit", "true", "false"),
        ("auto.commit.enable", True, False),
        ("enable.auto.offset.store", "TRUE", "False"),
        ("auto.offset.reset", "latest", "earliest"),
        ("group.id", "x", None),
        ("group.protocol", "consumer", "classic"),
        ("partition.assignment.strategy", "range", "cooperative-sticky"),
        ("bootstrap.servers", "a:1", None),
        ("metadata.broker.list", "a:1", None),
        ("enable.partition.eof", "true", 0),
        ("enabled_events", 1, 0),
        ("test.mock.num.brokers", 3, None),
    ],
)
def test_options_that_would_break_a_promise_are_refused(name, value, harmless):
    error = refusal_of(config_with, consumer_options={name: value})
    assert f"{name!r} cannot be set" in str(error)
    if harmless is not None:
        config_with(consumer_options={name: harmless})
    config = config_with()
    with pytest.raises(ValueError, match="cannot be set"):
        config.consumer_options[name] = value


def test_every_other_option_has_the_last_word(monkeypatch):
    monkeypatch.setenv("KAFKA_WORKER_CONSUMER_OPTIONS", '{"session.timeout.ms": 6000, "max.partition.fetch.bytes": 1}')
    native = config_with().native_settings()
    assert native["consumer_options"] == {"session.timeout.ms": "6000", "fetch.message.max.bytes": "1"}
    assert native["secrets"] == []
    options = {"ssl.key.pem": "key", "client.rack": SecretStr("longer"), "sasl.password": ""}
    assert config_with(consumer_options=options).native_settings()["secrets"] == ["longer", "key"]


def test_native_settings():
    differing = {"topics", "envelope_from", "secrets"}
    native = config_with(group_id="g", from_name="Shop", health_port=8080).native_settings()
    expected = DEFAULTS | {"group_id": "g", "from_name": "Shop", "health_port": 8080}
    assert native == {**expected, "envelope_from": FROM, "secrets": []}
    assert native.keys() == DEFAULTS.keys() | differing


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("GROUP_ID", "g", "group_id", "g"),
        ("group_id", "g", "group_id", "g"),
        ("GROUP_ID", "", "group_id", "kafka-email-worker"),
        ("HEALTH_PORT", "8080", "health_port", 8080),
        ("HEALTH_PORT", "", "health_port", None),
        ("MAIL_FOLDER", "", "mail_folder", None),
        ("REPLY_TO", "", "reply_to", None),
        ("ON_UNKNOWN", "DEAD_LETTER", "on_unknown", "dead_letter"),
        ("RETRY_BASE_S", "0.5", "retry_base_s", 0.5),
        ("NOTHING", "x", "group_id", "kafka-email-worker"),
    ],
)
def test_environment(monkeypatch, name, text, field, value):
    monkeypatch.setenv("KAFKA_WORKER_FROM_ADDRESS", FROM)
    monkeypatch.setenv(f"KAFKA_WORKER_{name}", text)
    assert getattr(WorkerConfig(), field) == value
    assert WorkerConfig().borrowed_variables == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CONCURRENCY", SECRET),
        ("RETRY_CAP_S", "0.5"),
        ("TOPICS", f'["{SECRET}"'),
        ("CONSUMER_OPTIONS", f'{{"sasl.password": "{SECRET}"'),
        ("CONSUMER_OPTIONS", f'["{SECRET}"]'),
        ("FROM_ADDRESS", SECRET),
    ],
)
def test_variables_that_are_not_valid_are_named(monkeypatch, name, text):
    monkeypatch.setenv("KAFKA_WORKER_FROM_ADDRESS", FROM)
    monkeypatch.setenv(f"KAFKA_WORKER_{name}", text)
    error = refusal_of(WorkerConfig)
    assert wrong_fields(error) == {name.lower()}
    assert f"(from KAFKA_WORKER_{name})" in str(error)
    assert_clean(error)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        WorkerConfig.model_copy,
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: WorkerConfig(**config.model_dump()),
    ],
)
def test_copies(duplicate):
    config = config_with(topics="a", consumer_options={"sasl.password": SECRET, "a": 1})
    twin = duplicate(config)
    assert SECRET not in renderings(twin) + renderings(twin.model_dump()) + twin.model_dump_json()
    assert twin.native_settings() == config.native_settings()
    assert twin.native_settings()["consumer_options"]["sasl.password"] == SECRET
    twin.group_id = "twin"
    assert config.group_id == "kafka-email-worker"


def test_copies_are_validated():
    with pytest.raises(ValidationError, match="concurrency"):
        config_with().model_copy(update={"concurrency": 0})
    with pytest.raises(ValidationError, match="did you mean 'group_id'"):
        config_with().model_copy(update={"groupid": "x"})
    assert config_with().model_copy(update={"retry_base_s": 500, "retry_cap_s": 600}).retry_base_s == 500


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize(
    "make",
    [
        lambda values: config_with(**values),
        lambda values: WorkerConfig.model_validate({"from_address": FROM} | values),
        lambda values: config_with().model_copy(update=values),
    ],
)
def test_errors_show_no_value(make, values):
    with pytest.raises(ValidationError) as caught:
        make(values)
    assert_clean(caught.value)
