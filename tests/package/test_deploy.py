"""The files of `deploy` that start a worker."""

import configparser
import shlex
from pathlib import Path

import yaml
from click.testing import CliRunner

from kafka_email.cli import commands
from kafka_email.config import WorkerConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
DRAIN_S = WorkerConfig.model_fields["drain_timeout_s"].default


def exists(command: list[str]) -> bool:
    assert command[0].endswith("kafka-email")
    return CliRunner().invoke(commands, [*command[1:], "--help"]).exit_code == 0


def test_the_unit_of_systemd_starts_a_worker_and_lets_it_drain() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(DEPLOY.joinpath("kafka-email-worker.service").read_text())
    service = unit["Service"]
    assert exists(shlex.split(service["ExecStart"]))
    assert int(service["TimeoutStopSec"]) >= DRAIN_S + 5
    assert service["RestartPreventExitStatus"] == "2"


def test_the_service_of_compose_starts_a_worker_and_lets_it_drain() -> None:
    (service,) = yaml.safe_load(DEPLOY.joinpath("compose.yaml").read_text())["services"].values()
    assert exists(service["command"])
    assert int(service["stop_grace_period"].removesuffix("s")) >= DRAIN_S + 5
    names = {name.removeprefix("KAFKA_WORKER_").lower() for name in service["environment"]}
    assert names <= WorkerConfig.model_fields.keys()
    compile(service["healthcheck"]["test"][-1], "healthcheck", "exec")
