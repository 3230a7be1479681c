"""A cluster of three for all fault tests, and the judgement on what was published during a fault."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.faults.account import Account, PublishedTo, settle
from support.faults.figures import page
from support.kafka import consume
from support.kafka.cluster import KafkaCluster

Judge = Callable[[PublishedTo, str], Account]
_ACCOUNT = "account"


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
def topic(cluster: KafkaCluster) -> str:
    """A new topic with six partitions, which the nodes share."""
    return cluster.create_topic()


@pytest.fixture
def judge(record_property: Callable[[str, object], None]) -> Judge:
    """Reads all that is stored, by the servers given, and checks that every promise of the traffic was kept."""

    def judged(traffic: PublishedTo, bootstrap_servers: str) -> Account:
        stored = consume.with_confluent_kafka(bootstrap_servers, traffic.topic, count=0, timeout=60)
        account = settle(traffic, stored)
        record_property(_ACCOUNT, account)
        assert account.is_clean, account
        return account

    return judged


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", type=Path, help="where to write the figures of the run, as a Markdown page")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show one line for each run of traffic, and write the page of figures."""
    accounts = dict(_accounts(terminalreporter))
    for name, account in accounts.items():
        terminalreporter.write_line(f"{name}: {account}")
    figures: Path | None = terminalreporter.config.option.figures
    if figures is not None and accounts:
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(page(accounts))


def _accounts(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, Account]]:
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            for name, account in report.user_properties:
                if name == _ACCOUNT and report.when == "call":
                    yield report.nodeid.rpartition("::")[2], account
