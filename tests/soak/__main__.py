"""Runs the application for some minutes while one of three brokers at a time is killed, frozen or restarted.

Usage, from the folder `tests`: python -m soak MINUTES DIRECTORY. Plots and figures go to the directory; the exit status
is 1 if a bound does not hold.
"""

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from kafka_email import KafkaError, RecordMetadata
from soak.application import LATE_S
from soak.plot import plot
from support.faults.account import settle
from support.faults.traffic import Attempt
from support.kafka import consume
from support.kafka.cluster import KafkaCluster
from support.kafka.node import KafkaNode

CALM_S = (15.0, 45.0)
FROZEN_S = 8.0
LATE_PERCENT = 1.0
"""Of the ticks of the loop: its lag, p99, is at most `LATE_S` then."""
GROWTH = 1.05
COLUMNS = ("seconds", "memory in MB", "native threads", "open files", "late ticks of the loop in %")


@dataclass
class Log:
    """What the application wrote down, as `settle` wants it."""

    attempts: list[Attempt]
    issued: int
    hung: int
    deadline_s: float


def main(minutes: float, directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    with KafkaCluster(nodes=3) as cluster:
        topic = cluster.create_topic()
        command = [sys.executable, "-m", "soak.application", cluster.bootstrap_servers, topic, str(directory)]
        application = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _disturb(cluster, time.monotonic() + minutes * 60, application)
        told, _ = application.communicate(timeout=60)
        cluster.heal()
        stored = consume.with_confluent_kafka(cluster.bootstrap_servers, topic, count=0, timeout=300)
    issued, hung, deadline_s = told.split()
    log = Log(_attempts(directory / "attempts"), int(issued), int(hung), float(deadline_s))
    account = settle(log, stored)
    print(account)
    samples = [[float(cell) for cell in row.split()] for row in (directory / "samples").read_text().splitlines()]
    plot(samples, COLUMNS, directory / "soak.svg")
    broken = _broken(samples)
    print("\n".join(broken) or "memory, threads, files and lag stayed within their bounds")
    return 0 if account.is_clean and not account.failed and not broken else 1


def _disturb(cluster: KafkaCluster, end: float, application: "subprocess.Popen[str]") -> None:
    chance = random.Random(0)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, chance.uniform(*CALM_S)))
        assert application.poll() is None, "the application ended"
        if time.monotonic() < end:
            node, what = chance.choice(cluster.nodes), chance.choice([_kill, _freeze, KafkaNode.restart])
            print(f"{end - time.monotonic():6.0f} s left: {what.__name__.strip('_')}", flush=True)
            what(node)
            cluster.heal()


def _kill(node: KafkaNode) -> None:
    node.kill()
    time.sleep(FROZEN_S)
    node.start()


def _freeze(node: KafkaNode) -> None:
    node.pause()
    time.sleep(FROZEN_S)
    node.resume()


def _attempts(file: Path) -> list[Attempt]:
    return [_attempt(*row.split()) for row in file.read_text().splitlines()]


def _attempt(number: str, seconds: str, end: str, first: str, second: str) -> Attempt:
    if end == "stored":
        result: RecordMetadata | KafkaError = RecordMetadata("", int(first), int(second), 0, "")
    else:
        result = KafkaError(code=first, maybe_delivered=second == "1")
    return Attempt(int(number), float(seconds), result)


def _broken(samples: list[list[float]]) -> list[str]:
    """What does not hold: the last fifth of the time against the second one, when everything was warm; and the lag."""
    fifth = len(samples) // 5
    broken = []
    for column, name in ((1, "memory"), (2, "threads"), (3, "files")):
        early = median(row[column] for row in samples[fifth : 2 * fifth])
        late = median(row[column] for row in samples[-fifth:])
        print(f"{COLUMNS[column]}: {early:g}, and at the end {late:g}")
        if late > early * GROWTH:
            broken.append(f"{name} grew from {early:g} to {late:g}")
    late = mean(row[4] for row in samples)
    print(f"ticks of the loop that were late by more than {LATE_S * 1000:.0f} ms: {late:.2f} %")
    if late > LATE_PERCENT:
        broken.append(f"the loop lagged: {late:.2f} % of its ticks were late")
    return broken


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), Path(sys.argv[2])))
