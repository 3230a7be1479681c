"""Secrets given to KafkaConfig come out of native_settings() and nowhere else."""

import copy
import json
import pickle

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from kafka_email.config import KafkaConfig
from kafka_email.oauth import OAuthToken
from support.package.secrecy import SECRET, assert_clean, renderings

SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "app"}

# Each holds the secret in another field.
HOLDERS = {
    "sasl_password": {**SASL, "sasl_password": SECRET},
    "SecretStr": {**SASL, "sasl_password": SecretStr(SECRET)},
    "ssl_key_password": {"security_protocol": "SSL", "ssl_key_password": SECRET},
    "producer_options": {"producer_options": {"ssl.key.pem": SECRET}},
    "own SecretStr": {"producer_options": {"client.rack": SecretStr(SECRET)}},
}

SECRET_OPTIONS = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "ssl_key",
    "SASL.PASSWORD",
    "sasl.jaas.config",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.token.endpoint.url",
    *("some.passphrase", "some.passwd", "some.credentials", "some.jwt", "some.assertion", "ssl.ca.pem"),
]
OPEN_OPTIONS = ["linger.ms", "socket.keepalive.enable", "ssl.ca.location", "topic.metadata.refresh.interval.ms"]

# Each is refused, with the secret in another place of the input.
REFUSED = {
    "unknown argument": {"sasl_pasword": SECRET},
    "beside another mistake": {"sasl_password": SECRET, "retries": -1},
    "combination": {"sasl_password": SECRET},
    "NUL": {"sasl_password": SECRET + "\0"},
    "list": {"sasl_password": [SECRET]},
    "key password": {"ssl_key_password": SECRET},
    "server": {"bootstrap_servers": f"user:{SECRET}@host:9092"},
    "server in a list": {"bootstrap_servers": ["a:1", f"{SECRET}:x"]},
    "topic": {"email_topic": SECRET + " "},
    "client id": {"client_id": SECRET + "\n"},
    "mechanism": {"sasl_mechanism": SECRET},
    "protocol": {"security_protocol": SECRET},
    "compression": {"compression_type": SECRET},
    "acks": {"acks": SECRET},
    "batching": {"batching": SECRET},
    "int": {"retries": SECRET},
    "float": {"linger_ms": SECRET},
    "bool": {"required": SECRET},
    "provider": {"sasl_oauth_token_provider": SECRET},
    "key file": {"ssl_keyfile": f"-----BEGIN PRIVATE KEY-----\n{SECRET}"},
    "options are no mapping": {"producer_options": [SECRET]},
    "options are no JSON": {"producer_options": f'{{"sasl.password": "{SECRET}"'},
    "option": {"producer_options": {"sasl.password": [SECRET]}},
    "options beside another mistake": {"producer_options": {"sasl.password": SECRET}, "retries": -1},
}


@pytest.mark.parametrize("values", HOLDERS.values(), ids=HOLDERS.keys())
def test_only_native_settings_reveals(values):
    config = KafkaConfig(**values)
    dumps = [config.model_dump(), dict(config), vars(config), config.model_dump(mode="json")]
    dumps += [config.model_dump_json(), config.producer_options]
    shown = "\n".join(map(renderings, [config, *dumps]))
    assert SECRET not in shown
    assert "**********" in shown
    assert config.native_settings()["connection"]["secrets"] == [SECRET]


@pytest.mark.parametrize("values", HOLDERS.values(), ids=HOLDERS.keys())
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_copies_keep_the_secret_to_themselves(values, duplicate):
    twin = duplicate(KafkaConfig(**values))
    assert SECRET not in renderings(twin)
    assert SECRET in repr(twin.native_settings())


@pytest.mark.parametrize("name", SECRET_OPTIONS)
def test_secret_options(name):
    config = KafkaConfig(producer_options={name: SECRET})
    assert isinstance(config.producer_options[name], SecretStr)
    assert config.native_settings()["producer_options"] == {name: SECRET}


@pytest.mark.parametrize("name", OPEN_OPTIONS)
def test_open_options(name):
    assert KafkaConfig(producer_options={name: "x"}).producer_options == {name: "x"}


@pytest.mark.parametrize(
    "change",
    [
        lambda options: options.__setitem__("sasl.password", SECRET),
        lambda options: options.update({"sasl.password": SECRET}),
        lambda options: options.update([("sasl.password", SECRET)]),
        lambda options: options.setdefault("sasl.password", SECRET),
        lambda options: options.__ior__({"sasl.password": SECRET}),
    ],
)
def test_options_changed_in_place(change):
    config = KafkaConfig(producer_options={"a": 1})
    change(config.producer_options)
    assert SECRET not in renderings(config) + renderings(config.producer_options) + config.model_dump_json()
    assert config.native_settings()["producer_options"] == {"a": "1", "sasl.password": SECRET}
    assert config.producer_options.setdefault("a", 2) == "1"


@pytest.mark.parametrize("name", [5, "", None])
def test_option_names_are_text(name):
    with pytest.raises(ValidationError, match="name of each"):
        KafkaConfig(producer_options={name: "x"})


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("make", [lambda values: KafkaConfig(**values), KafkaConfig.model_validate])
def test_errors_of_creation(make, values):
    with pytest.raises(ValidationError) as caught:
        make(values)
    # Pydantic's own frames hold the argument of model_validate; KafkaConfig(**values) leaves it nowhere.
    assert_clean(caught.value)


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
def test_errors_within_another_model(values):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, KafkaConfig]).validate_python({"kafka": values})
    assert_clean(caught.value)


def test_errors_of_json():
    with pytest.raises(ValidationError) as caught:
        KafkaConfig.model_validate_json(json.dumps({"sasl_pasword": SECRET}))
    assert_clean(caught.value)


def assign_and_use(values):
    config = KafkaConfig()
    for name, value in values.items():
        setattr(config, name, value)
    config.native_settings()


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("change", [lambda values: KafkaConfig().model_copy(update=values), assign_and_use])
def test_errors_of_change(change, values):
    with pytest.raises(ValidationError) as caught:
        change(values)
    assert_clean(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SASL_PASSWORD", SECRET),
        ("RETRIES", SECRET),
        ("PRODUCER_OPTIONS", f'{{"sasl.password": "{SECRET}"'),
        ("PRODUCER_OPTIONS", f'["{SECRET}"]'),
        ("BOOTSTRAP_SERVERS", f'["{SECRET}"'),
    ],
)
def test_errors_of_the_environment(monkeypatch, name, text):
    monkeypatch.setenv(f"KAFKA_{name}", text)
    with pytest.raises(ValidationError) as caught:
        KafkaConfig()
    assert_clean(caught.value)


def test_context_of_the_application_stays():
    def configure_after(failure):
        try:
            raise failure
        except LookupError:
            KafkaConfig(sasl_pasword=SECRET)

    failure = LookupError()
    with pytest.raises(ValidationError) as caught:
        configure_after(failure)
    assert caught.value.__context__ is failure


def test_tokens():
    granted = OAuthToken(SECRET, principal="app")
    assert SECRET not in renderings(granted)
    assert "app" in repr(granted)
    assert pickle.loads(pickle.dumps(granted)) == granted


def test_the_native_half_learns_every_secret_the_longest_first():
    options = {"ssl.key.pem": "key", "client.rack": SecretStr("longer secret"), "linger.ms": 5, "ssl.key.password": ""}
    config = KafkaConfig(**SASL, sasl_password="longer secret and more", producer_options=options)
    secrets = config.native_settings()["connection"]["secrets"]
    assert secrets == ["longer secret and more", "longer secret", "key"]
