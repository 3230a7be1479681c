"""KafkaConfig after it was made: assigned to, patched, copied, pickled, subclassed."""

import copy
import pickle

import pytest
from pydantic import PrivateAttr, ValidationError
from pydantic_settings import SettingsConfigDict

from kafka_email.config import KafkaConfig


def test_assignment_means_linger():
    config = KafkaConfig()
    config.linger_ms = 20
    assert config.batching == "linger"
    with pytest.raises(ValidationError, match="linger_ms"):
        config.batching = "adaptive"
    assert config.batching == "linger"


def test_patched_fields_go_back(monkeypatch):
    config = KafkaConfig()
    with monkeypatch.context() as patch:
        patch.setattr(config, "batching", "linger")
        patch.setattr(config, "linger_ms", 1)
        patch.setattr(config, "bootstrap_servers", ["a:1"])
    assert config.model_dump() == KafkaConfig().model_dump()


def test_unknown_attributes_are_refused_alike():
    config = KafkaConfig()
    with pytest.raises(ValidationError, match=r"email_topics[\s\S]*did you mean 'email_topic'"):
        config.email_topics = "x"
    with pytest.raises(ValidationError, match="did you mean 'email_topic'"):
        config.model_copy(update={"email_topics": "x"})
    assert not hasattr(config, "email_topics")


def test_assignment_is_validated_and_changes_nothing_when_refused():
    config = KafkaConfig()
    config.bootstrap_servers = "a:1, b:2"
    assert config.bootstrap_servers_string == "a:1,b:2"
    before = config.model_dump(), set(config.model_fields_set)
    for name, value in [("retries", -1), ("max_in_flight_requests", 6), ("bootstrap_servers", [])]:
        with pytest.raises(ValidationError):
            setattr(config, name, value)
    assert (config.model_dump(), config.model_fields_set) == before


def test_model_copy_validates_its_update_as_a_whole():
    config = KafkaConfig()
    assert config.model_copy(update={"max_in_flight_requests": 9, "acks": 1}).acks == "1"
    with pytest.raises(ValidationError):
        config.model_copy(update={"max_in_flight_requests": 9})
    assert config == KafkaConfig()


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        KafkaConfig.model_copy,
        lambda config: config.model_copy(deep=True),
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: KafkaConfig(**config.model_dump()),
        lambda config: KafkaConfig.model_validate(config.model_dump()),
    ],
)
@pytest.mark.parametrize("values", [{}, {"linger_ms": 1, "producer_options": {"sasl.password": "x", "a": 1}}])
def test_copies(duplicate, values):
    config = KafkaConfig(bootstrap_servers="a:1", **values)
    twin = duplicate(config)
    assert twin.model_dump() == config.model_dump()
    assert twin.native_settings() == config.native_settings()
    twin.client_id = "twin"
    assert config.client_id == "kafka-email"


def test_applications_may_subclass():
    class AppKafka(KafkaConfig):
        model_config = SettingsConfigDict(env_prefix="APP_KAFKA_")
        linger_ms: float = 5
        _note: str = PrivateAttr("")

    config = AppKafka()
    config._note = "kept"
    assert config._note == "kept"
    assert AppKafka().batching == "adaptive"
    with pytest.raises(ValidationError, match="for AppKafka"):
        AppKafka(nothing=1)
