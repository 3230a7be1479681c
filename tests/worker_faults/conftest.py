"""A cluster of three nodes, a mail server with a ledger, and the figures of each run."""

from collections.abc import Callable, Iterator

import pytest

from support.kafka.cluster import KafkaCluster

FIGURES = "figures of the worker"


@pytest.fixture(scope="session")
def three_nodes(make_kafka: Callable[..., KafkaCluster]) -> Iterator[KafkaCluster]:
    with make_kafka(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def cluster(three_nodes: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three nodes, three replicas, two of which must take a write; whole again after each test."""
    yield three_nodes
    three_nodes.heal()


@pytest.fixture
def events(request: pytest.FixtureRequest) -> int:
    """How many events are published at least."""
    count = request.config.option.events
    assert isinstance(count, int)
    return count


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Shows a line at the end of the run."""
    return lambda line: record_property(FIGURES, line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--events", type=int, default=0, help="how many events are published at least")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in ("passed", "failed"):
        for test in terminalreporter.getreports(outcome):
            for name, line in test.user_properties:
                if name == FIGURES and test.when == "call":
                    terminalreporter.write_line(f"{test.nodeid.rpartition('::')[2]}: {line}")
