"""SmtpConfig: its fields one by one, in combination, changed, copied; its secrets."""

import copy
import json
import pickle

import pytest
from pydantic import SecretStr, ValidationError

from kafka_email.config import SmtpConfig
from kafka_email.worker import SmtpConfig as ExportedConfig
from support.package.config_errors import refusal_of, wrong_fields
from support.package.secrecy import SECRET, assert_clean, renderings

# Contract: the fields and their defaults, no more and no less.
DEFAULTS = {
    "host": "mail",
    "port": 587,
    "security": "starttls",
    "username": None,
    "password": None,
    "token_provider": None,
    "cafile": None,
    "verify": True,
    "cleartext_auth": False,
    "helo_name": None,
    "max_connections": 10,
    "max_mails_per_connection": 100,
    "idle_timeout_ms": 10_000,
    "connect_timeout_ms": 10_000,
    "reply_timeout_ms": 60_000,
    "dot_timeout_ms": 600_000,
    "rate_limit": None,
}
DAY_MS = 86_400_000
RANGES = {
    "port": (1, 65535),
    "max_connections": (1, 1000),
    "max_mails_per_connection": (1, 1_000_000),
    "idle_timeout_ms": (0, DAY_MS),
    "connect_timeout_ms": (1, DAY_MS),
    "reply_timeout_ms": (1, DAY_MS),
    "dot_timeout_ms": (1, DAY_MS),
}
LOGIN = {"username": "app", "password": SECRET}
# Each is refused, with the secret in another place of the input.
REFUSED = {
    "unknown argument": {"pasword": SECRET},
    "beside another mistake": {**LOGIN, "port": 0},
    "combination": {"password": SECRET},
    "NUL": {"username": "app", "password": SECRET + "\0"},
    "list": {"username": "app", "password": [SECRET]},
    "username": {"username": SECRET + "\n", "password": "x"},
    "host": {"host": f"smtp://user:{SECRET}@mail"},
    "port": {"port": SECRET},
    "security": {"security": SECRET},
    "provider": {"token_provider": SECRET},
    "file": {"cafile": f"-----BEGIN CERTIFICATE-----\n{SECRET}"},
    "bool": {"verify": SECRET},
    "name": {"helo_name": SECRET + " x"},
    "rate": {"rate_limit": SECRET},
}


async def token() -> str:
    return "t"


def refused_fields(**values) -> set:
    return wrong_fields(refusal_of(SmtpConfig, **{"host": "mail"} | values))


def test_defaults():
    config = SmtpConfig(host="mail")
    assert {name: getattr(config, name) for name in SmtpConfig.model_fields} == DEFAULTS
    assert ExportedConfig is SmtpConfig
    assert SmtpConfig.__module__ == "kafka_email.config"
    assert [name for name, field in SmtpConfig.model_fields.items() if not field.description] == []


def test_a_host_is_required_and_the_error_says_where_to_set_it():
    assert "host\n  Field required: pass it, or set SMTP_HOST" in str(refusal_of(SmtpConfig))


@pytest.mark.parametrize("field", RANGES)
def test_range(field):
    low, high = RANGES[field]
    for value in (low, high):
        assert getattr(SmtpConfig(host="mail", **{field: value}), field) == value
    for value in (low - 1, high + 1):
        assert refused_fields(**{field: value}) == {field}


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("mail.example.com", "mail.example.com"),
        (" mail_1 ", "mail_1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
    ],
)
def test_hosts(given, host):
    assert SmtpConfig(host=given).native_settings()["host"] == host


@pytest.mark.parametrize(
    "host", ["", "smtp://mail", "mail:587", "'mail'", "a b", "[::1]:25", "[::1", "bücher.de", "a\0"]
)
def test_impossible_hosts(host):
    assert refused_fields(host=host) == {"host"}


@pytest.mark.parametrize(
    ("values", "security"),
    [
        ({"port": 465}, "tls"),
        ({"port": 25}, "starttls"),
        ({"port": 465, "security": "starttls"}, "starttls"),
        ({"security": "TLS"}, "tls"),
        ({"security": "none", "port": 1025}, "none"),
    ],
)
def test_security_depends_on_the_port_unless_it_is_set(values, security):
    config = SmtpConfig(host="mail", **values)
    assert config.security == config.native_settings()["security"] == security


def test_security_follows_a_port_that_is_assigned():
    config = SmtpConfig(host="mail")
    config.port = 465
    assert config.security == "tls"
    config.security = "starttls"
    assert config.model_copy(update={"port": 465}).security == "starttls"


@pytest.mark.parametrize(
    ("given", "rate", "per_second"),
    [("14/s", "14/s", 14), ("90/m", "90/m", 1.5), (" 1800 / h ", "1800/h", 0.5), ("0.5/s", "0.5/s", 0.5)],
)
def test_rates(given, rate, per_second):
    config = SmtpConfig(host="mail", rate_limit=given)
    assert (config.rate_limit, config.mails_per_second) == (rate, per_second)
    assert SmtpConfig(host="mail").mails_per_second is None


@pytest.mark.parametrize(
    "rate", ["14", "0/s", "0.0/m", "-1/s", "14/d", "14/", "/s", "1e3/s", "nan/s", 14, "1/s/s", "\u0661/s"]
)
def test_impossible_rates(rate):
    assert refused_fields(rate_limit=rate) == {"rate_limit"}


@pytest.mark.parametrize("name", ["app.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_names_of_this_host(name):
    assert SmtpConfig(host="mail", helo_name=name).helo_name == name


@pytest.mark.parametrize("name", ["a b", "a\r\nMAIL", "[x]", "a.com:25"])
def test_impossible_names_of_this_host(name):
    assert refused_fields(helo_name=name) == {"helo_name"}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (LOGIN, None),
        ({"username": "app"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "", "password": ""}, None),
        ({"username": "app", "token_provider": token}, None),
        ({**LOGIN, "token_provider": token}, "password"),
        ({"token_provider": token}, "username"),
        ({"cafile": __file__}, None),
        ({"cafile": __file__, "security": "none"}, "cafile"),
        ({"cafile": __file__, "verify": False}, "cafile"),
        ({"cafile": "/absent"}, "cafile"),
    ],
)
def test_combinations(values, wrong):
    if wrong is None:
        SmtpConfig(host="mail", **values).native_settings()
    else:
        assert refused_fields(**values) == {wrong}


def test_assigned_one_by_one_they_are_compared_when_used():
    config = SmtpConfig(host="mail")
    config.username = "app"
    with pytest.raises(ValidationError, match="password"):
        config.native_settings()
    config.password = "pw"
    assert config.native_settings()["password"] == "pw"
    with pytest.raises(ValidationError, match="did you mean 'password'"):
        config.pasword = "pw"
    with pytest.raises(ValidationError, match="port"):
        config.port = 0
    assert config.port == 587


@pytest.mark.parametrize("provider", ["t", 5, object()])
def test_impossible_token_providers(provider):
    assert refused_fields(username="app", token_provider=provider) == {"token_provider"}


def test_a_token_provider_belongs_to_the_application(monkeypatch):
    monkeypatch.setenv("SMTP_TOKEN_PROVIDER", "{")
    assert SmtpConfig(host="mail").token_provider is None
    config = SmtpConfig(host="mail", username="app", token_provider=token)
    assert copy.deepcopy(config).token_provider is token
    assert "provider" not in repr(config)
    assert "token_provider" not in config.model_dump()
    assert config.native_settings()["has_token"] is True


def test_native_settings():
    native = SmtpConfig(host="mail", **LOGIN, cafile=__file__).native_settings()
    assert native == {
        name: value for name, value in DEFAULTS.items() if name not in ("token_provider", "rate_limit")
    } | {
        "username": "app",
        "password": SECRET,
        "cafile": __file__,
        "has_token": False,
    }


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("SMTP_PORT", "465", "security", "tls"),
        ("smtp_port", "2525", "port", 2525),
        ("SMTP_PORT", "", "port", 587),
        ("SMTP_USERNAME", "", "username", None),
        ("SMTP_CAFILE", "", "cafile", None),
        ("SMTP_VERIFY", "false", "verify", False),
        ("SMTP_RATE_LIMIT", "14/s", "rate_limit", "14/s"),
        ("SMTP_NOTHING", "x", "port", 587),
    ],
)
def test_environment(monkeypatch, name, text, field, value):
    monkeypatch.setenv("SMTP_HOST", "mail")
    monkeypatch.setenv(name, text)
    assert getattr(SmtpConfig(), field) == value
    assert SmtpConfig().borrowed_variables == ()
    assert SmtpConfig(host="other").host == "other"


def test_variables_that_are_not_valid_are_named(monkeypatch):
    monkeypatch.setenv("SMTP_PORT", "tcp://10.0.0.1:25")
    monkeypatch.setenv("SMTP_PASSWORD", SECRET)
    error = refusal_of(SmtpConfig, host="mail")
    assert "Kubernetes" in str(error)
    assert "(from SMTP_PORT)" in str(error)
    assert_clean(error)
    error = refusal_of(SmtpConfig, host="mail", port=25, token_provider=token, username="app")
    assert "(from SMTP_PASSWORD)" in str(error)
    assert_clean(error)


def test_a_file_precedes_no_variable(monkeypatch, tmp_path):
    (tmp_path / "env").write_text("SMTP_HOST=file\nSMTP_PORT=25\nOTHER=x\n")
    monkeypatch.setenv("SMTP_PORT", "26")
    assert (SmtpConfig(_env_file=tmp_path / "env").host, SmtpConfig(_env_file=tmp_path / "env").port) == ("file", 26)


@pytest.mark.parametrize("password", [SECRET, SecretStr(SECRET)])
@pytest.mark.parametrize(
    "duplicate",
    [
        lambda config: config,
        copy.copy,
        copy.deepcopy,
        lambda config: config.model_copy(update={"port": 25}),
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: SmtpConfig(**config.model_dump()),
    ],
)
def test_only_native_settings_reveals(password, duplicate):
    config = duplicate(SmtpConfig(host="mail", username="app", password=password))
    shown = [config, config.model_dump(), vars(config), config.model_dump(mode="json"), config.model_dump_json()]
    assert SECRET not in "\n".join(map(renderings, shown))
    assert config.native_settings()["password"] == SECRET


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize(
    "make",
    [
        lambda values: SmtpConfig(**{"host": "mail"} | values),
        lambda values: SmtpConfig.model_validate({"host": "mail"} | values),
        lambda values: SmtpConfig(host="mail").model_copy(update=values),
    ],
)
def test_errors_show_no_value(make, values):
    with pytest.raises(ValidationError) as caught:
        make(values)
    assert_clean(caught.value)


def test_errors_of_json_show_no_value():
    with pytest.raises(ValidationError) as caught:
        SmtpConfig.model_validate_json(json.dumps({"host": "mail", "pasword": SECRET}))
    assert_clean(caught.value)
    assert "did you mean 'password'?" in str(caught.value)
