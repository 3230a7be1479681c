"""Fixtures that give tests a real Kafka, and keep the variables of this shell out of them."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaException
from hypothesis import settings

from support.faults.proxy import Proxy
from support.kafka import topics
from support.kafka.certificates import Certificates, make_certificates
from support.kafka.cluster import PASSWORD, USER, Kafka, KafkaCluster
from support.kafka.jars import kafka_jars
from support.kafka.java import java_command
from support.missing import MissingError
from support.smtp.aiosmtpd import Aiosmtpd
from support.smtp.postfix import PostfixSink, smtp_sink_command

# How long an example takes depends on the machine. CI tries other examples each time too, against Hypothesis' own
# profile for it. `make fuzz` tries many more of them.
settings.register_profile("default", deadline=None, derandomize=False, print_blob=True)
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=100_000)
settings.load_profile("default")

BOOTSTRAP_SERVERS = "KAFKA_TEST_BOOTSTRAP_SERVERS"
"""Environment variable naming a Kafka that runs already, for the `kafka` fixture to use in place of its own."""

VARIABLES = (
    *("KAFKA_", "SMTP_", "MAIL_", "EMAIL_", "EMAILS_", "CERT_BUNDLE", "LOCAL_HOSTNAME", "SUPPRESS_SEND"),
    *("TEMPLATE_FOLDER", "USE_CREDENTIALS", "VALIDATE_CERTS"),
)
"""How the names of the variables begin that configure the package."""


def pytest_configure(config: pytest.Config) -> None:
    """Chooses other examples for each run.

    Hands SIGINT on to the processes that tests start, also where a shell in the background has it ignored.
    """
    # Before Hypothesis reads it. A run that fails is repeated with the seed that it shows.
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    """What repeats the examples of this run."""
    return f"examples: --hypothesis-seed={config.option.hypothesis_seed}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Makes sure that servers can be started before any test runs: fetching them would exceed a test's time limit."""
    if session.config.option.collectonly:
        return
    used = {name for item in session.items if isinstance(item, pytest.Function) for name in item.fixturenames}
    starts = used & {"make_kafka", "secure_kafka"} or ("kafka" in used and BOOTSTRAP_SERVERS not in os.environ)
    try:
        if starts:
            java_command()
            kafka_jars()
        if "postfix" in used:
            smtp_sink_command()
    except MissingError as missing:
        pytest.exit(str(missing), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the variables that would configure the package. Fixtures of the session still see them."""
    for name in [name for name in os.environ if name.upper().startswith(VARIABLES)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def make_kafka() -> Callable[..., KafkaCluster]:
    """Builds a Kafka of a test's own, options as in `KafkaCluster`: `with make_kafka(nodes=3) as cluster:`."""
    return KafkaCluster


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The Kafka that all tests share: the one that KAFKA_TEST_BOOTSTRAP_SERVERS names, or one started for this run."""
    external = os.environ.get(BOOTSTRAP_SERVERS)
    if external is None:
        with KafkaCluster() as started:
            yield started
    else:
        try:
            topics.ping(external)
        except KafkaException as error:
            pytest.exit(f"{BOOTSTRAP_SERVERS}={external} does not answer: {error}", pytest.ExitCode.USAGE_ERROR)
        yield Kafka(external)


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """A new, empty topic with six partitions."""
    return kafka.create_topic()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that knows no target yet."""
    with Proxy() as listening:
        yield listening


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of `secure_kafka`, and a client certificate that it accepts."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secure_kafka(certificates: Certificates) -> Iterator[KafkaCluster]:
    """A Kafka that listens by every protocol, shared by all tests; its user is `USER` with `PASSWORD`."""
    listeners = ("SSL", "MUTUAL_SSL", "SASL_PLAINTEXT", "SASL_SSL")
    with KafkaCluster(listeners=listeners, users={USER: PASSWORD}, certificates=certificates) as started:
        yield started


@pytest.fixture
def postfix() -> Iterator[PostfixSink]:
    """Postfix's smtp-sink."""
    with PostfixSink() as started:
        yield started


@pytest.fixture
def aiosmtpd() -> Iterator[Aiosmtpd]:
    """An aiosmtpd without TLS and without users."""
    with Aiosmtpd() as started:
        yield started
