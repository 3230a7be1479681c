"""Properties of librdkafka's producer that ``KafkaConfig`` has no field for."""

from collections.abc import Mapping
from typing import ClassVar

from kafka_email.config.options import FALSE, Forbidden, Options, OptionValue


class ProducerOptions(Options):
    """What ``KafkaConfig.producer_options`` holds."""

    forbidden: ClassVar[Mapping[str, Forbidden]] = {
        "delivery.report.only.error": Forbidden("a publish would never hear that its event is stored"),
        "transactional.id": Forbidden("this package publishes outside of transactions, and each event would fail"),
        "enabled_events": Forbidden("this package needs the events that it has chosen, or publishes would never end"),
    }


def skips_verification(options: Mapping[str, OptionValue]) -> bool:
    """Return whether a property switches off the check of the brokers' certificates, or of the names in them."""
    plain = {name: value.lower() for name, value in ProducerOptions(options).revealed().items()}
    is_unchecked = plain.get("enable.ssl.certificate.verification", "true") in FALSE
    return is_unchecked or plain.get("ssl.endpoint.identification.algorithm", "https") == "none"
