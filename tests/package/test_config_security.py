"""How KafkaConfig takes encryption and authentication."""

import functools
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from kafka_email.config import KafkaConfig
from kafka_email.oauth import OAuthToken
from support.package.config_errors import assert_refused, refused_fields, wrong_fields

PASSWORD = {"sasl_username": "app", "sasl_password": "pw"}


async def token() -> str:
    return "t"


class TokenSource:
    async def token(self) -> OAuthToken:
        return OAuthToken("t")


@pytest.fixture
def pem(tmp_path) -> Path:
    path = tmp_path / "some.pem"
    path.write_text("not read by the configuration")
    return path


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_passwords(protocol, mechanism):
    config = KafkaConfig(security_protocol=protocol, sasl_mechanism=mechanism, **PASSWORD)
    native = config.native_settings()["connection"]
    assert (native["security_protocol"], native["sasl_mechanism"]) == (protocol, mechanism)
    assert (native["sasl_username"], native["sasl_password"]) == ("app", "pw")


def test_names_of_protocols_and_mechanisms_may_be_in_any_case():
    config = KafkaConfig(security_protocol="sasl_ssl", sasl_mechanism="Scram-Sha-256", **PASSWORD)
    assert (config.security_protocol, config.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-256")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("lacking", PASSWORD)
def test_passwords_need_user_and_password(mechanism, lacking):
    values = PASSWORD | {lacking: None}
    assert refused_fields(security_protocol="SASL_SSL", sasl_mechanism=mechanism, **values) == {lacking}
    values = PASSWORD | {lacking: ""}
    assert refused_fields(security_protocol="SASL_SSL", sasl_mechanism=mechanism, **values) == {lacking}


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_needs_a_mechanism(protocol):
    assert refused_fields(security_protocol=protocol) == {"sasl_mechanism"}


@pytest.mark.parametrize("mechanism", ["GSSAPI", "NTLM", "SCRAM-SHA-1", 5, ["PLAIN"]])
def test_other_mechanisms_are_not_in_this_build(mechanism):
    error = assert_refused(security_protocol="SASL_SSL", sasl_mechanism=mechanism)
    assert wrong_fields(error) == {"sasl_mechanism"}
    assert "does not contain GSSAPI" in str(error)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sasl_mechanism", "PLAIN"),
        ("sasl_username", "app"),
        ("sasl_password", "pw"),
        ("sasl_oauth_token_provider", token),
    ],
)
def test_sasl_fields_need_a_sasl_protocol(protocol, field, value):
    error = assert_refused(security_protocol=protocol, **{field: value})
    assert wrong_fields(error) == {field}
    assert f"security_protocol='{protocol}'" in str(error)


@pytest.mark.parametrize("provider", [token, TokenSource(), functools.partial(token)])
def test_token_providers(provider):
    config = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_provider=provider)
    assert config.sasl_oauth_token_provider is provider
    assert config.model_copy(deep=True).sasl_oauth_token_provider is provider
    assert "sasl_oauth_token_provider" not in config.model_dump()
    assert "provider" not in repr(config)
    assert "sasl_oauth_token_provider" not in config.native_settings()["connection"]


@pytest.mark.parametrize("provider", ["t", 5, object(), TokenSource, OAuthToken("t")])
def test_impossible_token_providers(provider):
    values = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    assert refused_fields(sasl_oauth_token_provider=provider, **values) == {"sasl_oauth_token_provider"}


def test_oauthbearer_needs_a_provider_and_no_password():
    values = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    assert refused_fields(**values) == {"sasl_oauth_token_provider"}
    assert refused_fields(**values, sasl_oauth_token_provider=token, **PASSWORD) == set(PASSWORD)
    values["sasl_mechanism"] = "PLAIN"
    assert refused_fields(**values, sasl_oauth_token_provider=token, **PASSWORD) == {"sasl_oauth_token_provider"}


def test_token_is_frozen_and_has_defaults():
    granted = OAuthToken("t")
    assert (granted.value, granted.lifetime_s, granted.principal) == ("t", 300.0, "")
    with pytest.raises(AttributeError):
        granted.value = "other"


@pytest.mark.parametrize("values", [("",), ("t", 0), ("t", -1.0), ("t", float("nan")), ("t", float("inf"))])
def test_impossible_tokens(values):
    with pytest.raises(ValueError, match="lifetime_s above zero"):
        OAuthToken(*values)


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_files(protocol, pem):
    sasl = {"sasl_mechanism": "PLAIN", **PASSWORD} if protocol == "SASL_SSL" else {}
    files = {"ssl_cafile": pem, "ssl_certfile": str(pem), "ssl_keyfile": pem}
    config = KafkaConfig(security_protocol=protocol, ssl_key_password="kp", **files, **sasl)
    native = config.native_settings()["connection"]
    assert [native[name] for name in files] == [str(pem)] * 3
    assert native["ssl_key_password"] == "kp"


def test_only_authorities_may_be_a_folder(tmp_path, pem):
    assert KafkaConfig(security_protocol="SSL", ssl_cafile=tmp_path).ssl_cafile == str(tmp_path)
    assert refused_fields(security_protocol="SSL", ssl_certfile=tmp_path, ssl_keyfile=pem) == {"ssl_certfile"}
    assert refused_fields(security_protocol="SSL", ssl_certfile=pem, ssl_keyfile=tmp_path) == {"ssl_keyfile"}


@pytest.mark.parametrize("field", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_missing_files_are_named(field, tmp_path):
    message = str(assert_refused(security_protocol="SSL", **{field: tmp_path / "absent.pem"}))
    assert f"{field}\n" in message
    assert f"{os.fspath(tmp_path / 'absent.pem')!r} does not exist" in message


@pytest.mark.parametrize("content", ["-----BEGIN PRIVATE KEY-----", "a\nb"])
def test_content_in_place_of_a_path_is_not_shown(content):
    error = assert_refused(security_protocol="SSL", ssl_keyfile=content)
    assert wrong_fields(error) == {"ssl_keyfile"}
    assert "not its content" in str(error)
    assert content not in str(error)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 10_000])
def test_impossible_paths(path, tmp_path):
    (tmp_path / "a\tb").touch()
    assert refused_fields(security_protocol="SSL", ssl_cafile=tmp_path / "a\tb") == {"ssl_cafile"}
    assert refused_fields(security_protocol="SSL", ssl_cafile=path) == {"ssl_cafile"}


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("field", ["ssl_cafile", "ssl_key_password"])
def test_ssl_fields_need_an_ssl_protocol(protocol, field, pem):
    sasl = {"sasl_mechanism": "PLAIN", **PASSWORD} if protocol == "SASL_PLAINTEXT" else {}
    assert refused_fields(security_protocol=protocol, **{field: str(pem)}, **sasl) == {field}


def test_certificate_and_key_go_together(pem):
    assert refused_fields(security_protocol="SSL", ssl_certfile=pem) == {"ssl_keyfile"}
    assert refused_fields(security_protocol="SSL", ssl_keyfile=pem) == {"ssl_certfile"}
    assert refused_fields(ssl_certfile=pem, ssl_keyfile=pem) == {"ssl_certfile", "ssl_keyfile"}


def test_assigned_one_by_one_they_are_compared_when_used():
    config = KafkaConfig()
    config.security_protocol = "SASL_SSL"
    config.sasl_mechanism = "PLAIN"
    config.sasl_username = "app"
    with pytest.raises(ValidationError) as caught:
        config.native_settings()
    assert wrong_fields(caught.value) == {"sasl_password"}
    config.sasl_password = "pw"
    assert config.native_settings()["connection"]["sasl_password"] == "pw"


def test_model_copy_compares_them_at_once():
    with pytest.raises(ValidationError):
        KafkaConfig().model_copy(update={"security_protocol": "SASL_SSL"})
    update = {"sasl_mechanism": "PLAIN", "security_protocol": "SASL_SSL", **PASSWORD}
    assert KafkaConfig().model_copy(update=update).native_settings()["connection"]["sasl_password"] == "pw"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_cannot_reach_librdkafka(text):
    sasl = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}
    assert refused_fields(**sasl, **PASSWORD | {"sasl_username": text}) == {"sasl_username"}
    assert refused_fields(**sasl, **PASSWORD | {"sasl_password": text}) == {"sasl_password"}
    assert refused_fields(security_protocol="SSL", ssl_key_password=text) == {"ssl_key_password"}
    assert refused_fields(producer_options={"a": text}) == {"producer_options"}
    assert refused_fields(producer_options={text: "a"}) == {"producer_options"}
