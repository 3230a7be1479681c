"""What SmtpConfig and WorkerConfig read from the variables of fastapi-mail and of the full-stack-fastapi-template."""

import pickle

import pytest

from kafka_email.config import KafkaConfig, SmtpConfig, WorkerConfig
from support.package.config_errors import refusal_of, wrong_fields
from support.package.secrecy import SECRET, assert_clean

FROM = "no-reply@example.com"


def assert_borrowed(config, *names) -> None:
    assert config.borrowed_variables == tuple(sorted(names))


@pytest.fixture
def setenv(monkeypatch):
    """Sets variables."""

    def set_all(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return set_all


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MAIL_SERVER", "mail", "host", "mail"),
        ("MAIL_PORT", "2525", "port", 2525),
        ("VALIDATE_CERTS", "False", "verify", False),
        ("CERT_BUNDLE", __file__, "cafile", __file__),
        ("LOCAL_HOSTNAME", "app.example.com", "helo_name", "app.example.com"),
        ("mail_port", "2525", "port", 2525),
    ],
)
def test_variables_of_the_server(setenv, name, text, field, value):
    setenv(MAIL_SERVER="mail", **{name: text} if name != "MAIL_SERVER" else {})
    config = SmtpConfig()
    assert getattr(config, field) == value
    assert_borrowed(config, *{"MAIL_SERVER", name.upper()})


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MAIL_FROM", "a@example.com", "from_address", "a@example.com"),
        ("EMAILS_FROM_EMAIL", "a@example.com", "from_address", "a@example.com"),
        ("MAIL_FROM_NAME", "Shop", "from_name", "Shop"),
        ("EMAIL_FROM_NAME", "Shop", "from_name", "Shop"),
        ("EMAILS_FROM_NAME", "Shop", "from_name", "Shop"),
    ],
)
def test_variables_of_the_sender(setenv, name, text, field, value):
    setenv(**{name: text})
    config = WorkerConfig(**{"from_address": FROM} if field != "from_address" else {})
    assert getattr(config, field) == value
    assert_borrowed(config, name)


def test_the_folder_of_templates(setenv, tmp_path):
    setenv(TEMPLATE_FOLDER=str(tmp_path))
    config = WorkerConfig(from_address=FROM)
    assert config.templates == str(tmp_path)
    assert_borrowed(config, "TEMPLATE_FOLDER")
    assert_borrowed(pickle.loads(pickle.dumps(config)).model_copy(), "TEMPLATE_FOLDER")


def test_arguments_and_own_variables_precede(setenv):
    setenv(SMTP_PORT="26", MAIL_SERVER="theirs", MAIL_PORT="27", KAFKA_WORKER_FROM_NAME="Ours", MAIL_FROM_NAME="Theirs")
    smtp = SmtpConfig(host="ours")
    assert (smtp.host, smtp.port) == ("ours", 26)
    assert_borrowed(smtp)
    worker = WorkerConfig(from_address=FROM)
    assert worker.from_name == "Ours"
    assert_borrowed(worker)


def test_an_own_variable_that_is_empty_is_not_set(setenv):
    setenv(SMTP_HOST="", MAIL_SERVER="mail", MAIL_PORT="", SMTP_USER="", SMTP_PASSWORD="")
    config = SmtpConfig()
    assert (config.host, config.port, config.username, config.password) == ("mail", 587, None, None)
    assert_borrowed(config, "MAIL_SERVER")


def test_variables_in_a_file_are_read_as_well(tmp_path, setenv):
    (tmp_path / "env").write_text("MAIL_SERVER=mail\nMAIL_PORT=2525\nOTHER=x\n")
    setenv(MAIL_PORT="2526")
    config = SmtpConfig(_env_file=tmp_path / "env")
    assert (config.host, config.port) == ("mail", 2526)


def test_credentials_of_fastapi_mail(setenv):
    setenv(MAIL_SERVER="mail", MAIL_USERNAME="app", MAIL_PASSWORD=SECRET)
    config = SmtpConfig()
    assert (config.username, config.native_settings()["password"]) == ("app", SECRET)
    assert_borrowed(config, "MAIL_PASSWORD", "MAIL_SERVER", "MAIL_USERNAME")
    setenv(USE_CREDENTIALS="False")
    assert (SmtpConfig().username, SmtpConfig().password) == (None, None)
    assert_borrowed(SmtpConfig(), "MAIL_SERVER", "USE_CREDENTIALS")


def test_credentials_of_the_template(setenv):
    setenv(SMTP_HOST="mail", SMTP_USER="app", SMTP_PASSWORD="x")
    assert SmtpConfig().username == "app"
    assert_borrowed(SmtpConfig(), "SMTP_USER")


def test_the_first_of_several_variables_counts(setenv):
    setenv(MAIL_SERVER="mail", SMTP_USER="first", MAIL_USERNAME="second", SMTP_PASSWORD="x")
    assert SmtpConfig().username == "first"
    assert_borrowed(SmtpConfig(), "MAIL_SERVER", "SMTP_USER")
    setenv(USE_CREDENTIALS="false")
    assert_borrowed(SmtpConfig(), "MAIL_SERVER", "SMTP_USER")
    setenv(MAIL_FROM="second@example.com", EMAILS_FROM_EMAIL="first@example.com")
    setenv(MAIL_FROM_NAME="third", EMAIL_FROM_NAME="second", EMAILS_FROM_NAME="first")
    config = WorkerConfig()
    assert (config.from_address, config.from_name) == ("first@example.com", "first")
    assert_borrowed(config, "EMAILS_FROM_EMAIL", "EMAILS_FROM_NAME")


def test_no_other_host_learns_the_password_of_a_server(setenv):
    setenv(MAIL_SERVER="theirs", MAIL_USERNAME="app", MAIL_PASSWORD=SECRET)
    config = SmtpConfig(host="ours")
    assert (config.username, config.password) == (None, None)
    assert_borrowed(config)
    assert SmtpConfig(host="THEIRS").username == "app"
    setenv(MAIL_SERVER="")
    assert SmtpConfig(host="ours").username == "app"


def test_a_token_takes_the_place_of_the_password(setenv):
    async def token() -> str:
        return "t"

    setenv(MAIL_SERVER="mail", MAIL_USERNAME="app", MAIL_PASSWORD=SECRET)
    config = SmtpConfig(token_provider=token)
    assert (config.username, config.password) == ("app", None)


@pytest.mark.parametrize(
    ("variables", "security"),
    [
        ({}, "starttls"),
        ({"MAIL_STARTTLS": "True", "MAIL_SSL_TLS": "False"}, "starttls"),
        ({"MAIL_STARTTLS": "False", "MAIL_SSL_TLS": "True"}, "tls"),
        ({"MAIL_STARTTLS": "False", "MAIL_SSL_TLS": "False"}, "none"),
        ({"MAIL_STARTTLS": "True", "MAIL_SSL_TLS": "True"}, "starttls"),
        ({"MAIL_STARTTLS": "False"}, "none"),
        ({"MAIL_SSL_TLS": "False"}, "starttls"),
        ({"MAIL_TLS": "True", "MAIL_SSL": "False"}, "starttls"),
        ({"MAIL_TLS": "False", "MAIL_SSL": "True"}, "tls"),
        ({"SMTP_TLS": "false"}, "none"),
        ({"SMTP_SSL": "true"}, "tls"),
        ({"SMTP_TLS": "true", "SMTP_SSL": "true"}, "starttls"),
        ({"SMTP_TLS": "true", "MAIL_STARTTLS": "false", "MAIL_SSL_TLS": "true"}, "starttls"),
        ({"MAIL_PORT": "465"}, "tls"),
        ({"MAIL_PORT": "465", "MAIL_STARTTLS": "True", "MAIL_SSL_TLS": "True"}, "tls"),
        ({"MAIL_PORT": "465", "MAIL_STARTTLS": "True", "MAIL_SSL_TLS": "False"}, "tls"),
        ({"SMTP_PORT": "465", "SMTP_TLS": "false"}, "tls"),
        ({"SMTP_SECURITY": "tls", "MAIL_STARTTLS": "True"}, "tls"),
        ({"SMTP_SECURITY": "tls", "MAIL_STARTTLS": "maybe"}, "tls"),
        ({"SMTP_SSL": "false", "MAIL_STARTTLS": "false"}, "none"),
    ],
)
def test_flags_of_the_encryption(setenv, variables, security):
    setenv(**variables)
    config = SmtpConfig(host="mail")
    assert config.security == config.native_settings()["security"] == security
    ours = {"SMTP_SECURITY", "SMTP_PORT"}
    assert set(config.borrowed_variables) <= variables.keys() - ours
    assert ("security" in config.model_fields_set) == (
        config.borrowed_variables not in [(), ("MAIL_PORT",)] or "SMTP_SECURITY" in variables
    )


@pytest.mark.parametrize(
    "variables", [{"VALIDATE_CERTS": "no"}, {"MAIL_STARTTLS": "0", "MAIL_SSL_TLS": "0"}, {"SMTP_SECURITY": "none"}]
)
def test_a_bundle_is_not_read_where_nothing_is_verified(setenv, variables):
    setenv(CERT_BUNDLE=__file__, **variables)
    config = SmtpConfig(host="mail")
    assert config.cafile is None
    assert "CERT_BUNDLE" not in config.borrowed_variables


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("MAIL_PORT", SECRET, "port"),
        ("MAIL_STARTTLS", SECRET, "security"),
        ("SMTP_SSL", SECRET, "security"),
        ("USE_CREDENTIALS", SECRET, "username"),
        ("VALIDATE_CERTS", SECRET, "verify"),
        ("CERT_BUNDLE", "-----BEGIN CERTIFICATE-----" + SECRET, "cafile"),
        ("LOCAL_HOSTNAME", SECRET + " x", "helo_name"),
        ("MAIL_SERVER", f"smtp://{SECRET}", "host"),
    ],
)
def test_variables_of_the_server_that_are_not_valid_are_named(setenv, name, text, field):
    setenv(**{"MAIL_SERVER": "mail", name: text})
    error = refusal_of(SmtpConfig)
    assert wrong_fields(error) == {field}
    assert name in str(error)
    assert_clean(error)


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("MAIL_FROM", f"{SECRET} <a@example.com>", "from_address"),
        ("EMAILS_FROM_NAME", f"{SECRET}\n", "from_name"),
        ("SUPPRESS_SEND", SECRET, "mail_folder"),
    ],
)
def test_variables_of_the_sender_that_are_not_valid_are_named(setenv, name, text, field):
    setenv(**{"MAIL_FROM": FROM, name: text})
    error = refusal_of(WorkerConfig)
    assert wrong_fields(error) == {field}
    assert name in str(error)
    assert_clean(error)


def test_a_combination_names_the_variable(setenv):
    setenv(MAIL_SERVER="mail", MAIL_PASSWORD=SECRET)
    error = refusal_of(SmtpConfig)
    assert wrong_fields(error) == {"username"}
    assert_clean(error)


def test_suppressed_mails_are_neither_sent_nor_dropped(setenv, tmp_path):
    setenv(MAIL_FROM=FROM, SUPPRESS_SEND="1")
    error = refusal_of(WorkerConfig)
    assert wrong_fields(error) == {"mail_folder"}
    assert "KAFKA_WORKER_MAIL_FOLDER" in str(error)
    assert WorkerConfig(mail_folder=tmp_path).mail_folder == str(tmp_path)
    setenv(SUPPRESS_SEND="0")
    assert WorkerConfig().mail_folder is None


def test_other_variables_mean_nothing(setenv):
    setenv(MAIL_SERVER="mail", MAIL_FROM=FROM, MAIL_DEBUG="1", TIMEOUT="soon", MAIL_HOST="x")
    assert_borrowed(SmtpConfig(), "MAIL_SERVER")
    assert_borrowed(WorkerConfig(), "MAIL_FROM")
    assert not hasattr(KafkaConfig(), "borrowed_variables")
