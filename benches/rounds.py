"""Round after round over all cases, each measurement in a fresh process, so that all clients see the same machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches import endpoint
from benches.clients.payload import encoded
from benches.events import EVENTS
from benches.plan import Case, Plan
from benches.services import Service, Services

Run = dict[str, Any]

TIMEOUT_S = 120.0
MARATHON_TIMEOUT_S = 900.0
WARM_UP_S = 10.0
KINDS_OF_RECORD = 16
"""How often each recipient is in librdkafka's job, each time with another timestamp."""


@dataclass(frozen=True)
class Programs:
    """What measures: the interpreter of the environment with the clients, and librdkafka's program."""

    python: Path
    librdkafka: Path


def measure(plan: Plan, programs: Programs, services: Services) -> dict[str, list[Run]]:
    """The runs of each case by its name, in the order of the plan."""
    runs: dict[str, list[Run]] = {case.name: [] for case in plan.cases}
    began = time.monotonic()
    for number in range(max((case.rounds or plan.rounds for case in plan.cases), default=0)):
        for case in plan.cases:
            if number < (case.rounds or plan.rounds):
                run = _measured(case, programs, services)
                runs[case.name].append(run)
                minutes = (time.monotonic() - began) / 60
                print(f"{minutes:5.1f} min  round {number + 1}  {case.name}: {_told(run)}", file=sys.stderr, flush=True)
    return runs


def warm_up(programs: Programs, services: Services) -> None:
    """Lets Kafka's Java compile what it runs again and again."""
    for codec, at_once in (("none", 1000), ("gzip", 1000), ("gzip", 10)):
        arguments = {"at_once": at_once, "warm_up_s": 0.0, "window_s": WARM_UP_S / 3}
        case = Case("warm-up", "ours", codec, at_once, "closed", {"compression_type": codec}, arguments)
        _measured(case, programs, services)


def _measured(case: Case, programs: Programs, services: Services) -> Run:
    """One run of a case, or `failed` with the reason: nothing that a client does ends the benchmark."""
    try:
        if case.load == "imports":
            return _process([str(programs.python), "-c", _IMPORT.format(case.point)], "")
        service = services.get(case.service)
        topic = service.new_topic()
        try:
            run = _RUNNERS.get(case.load, _worker)(case, programs, service, topic)
            return run | {"stored": service.stored(topic)}
        finally:
            service.remove(topic)
    except subprocess.TimeoutExpired as error:
        return {"failed": f"did not end within {error.timeout:.0f} s"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _worker(case: Case, programs: Programs, service: Service, topic: str) -> Run:
    if case.client == "librdkafka":
        return _process([str(programs.librdkafka)], json.dumps(_librdkafka_job(case, service, topic)))
    job = {
        "client": case.client,
        "servers": service.servers,
        "topic": topic,
        "settings": case.settings,
        "load": case.load,
        "arguments": case.arguments,
        "loop": case.loop,
    }
    timeout = MARATHON_TIMEOUT_S if case.load == "marathon" else TIMEOUT_S
    return _process([str(programs.python), "-m", "benches.worker"], json.dumps(job), timeout)


def _endpoint(case: Case, programs: Programs, service: Service, topic: str) -> Run:
    job = {"client": case.arguments["client"], "servers": service.servers, "topic": topic, "settings": case.settings}
    return endpoint.measure(programs.python, job, case.arguments["window_s"], environment())


_RUNNERS: dict[str, Callable[[Case, Programs, Service, str], Run]] = {"endpoint": _endpoint}

_IMPORT = """
import json, time
began = time.perf_counter()
import {}
print(json.dumps({{"import_ms": (time.perf_counter() - began) * 1000}}))
"""


def environment() -> dict[str, str]:
    """This environment, without what would configure kafka-email."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}


def _librdkafka_job(case: Case, service: Service, topic: str) -> dict[str, Any]:
    records = [
        {"key": event[0], "value": encoded(*event).decode(), "event_type": "verification", "source": "kafka-email"}
        for event in EVENTS * KINDS_OF_RECORD
    ]
    properties = [*case.settings.items(), ("bootstrap.servers", service.servers)]
    return case.arguments | {"properties": properties, "topic": topic, "records": records}


def _process(command: list[str], job: str, timeout: float = TIMEOUT_S) -> Run:
    """What a process prints as JSON in its last line.

    Raises:
        RuntimeError: it failed; with the last line of its errors.
    """
    done = subprocess.run(
        command, input=job, capture_output=True, text=True, timeout=timeout, env=environment(), check=False
    )
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    run: Run = json.loads(done.stdout.splitlines()[-1])
    return run


_TOLD = ("per_second", "requests_per_second", "cpu_per_100k", "p99_ms", "late_p99_ms", "import_ms", "failures")


def _told(run: Run) -> str:
    if "failed" in run:
        return f"failed: {run['failed']}"
    return ", ".join(f"{name} {run[name]:.6g}" for name in _TOLD if run.get(name) is not None)
