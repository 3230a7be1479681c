"""What the measurements run in: an environment with all clients, librdkafka's program, and this machine."""

import json
import os
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from benches.rounds import Programs

ROOT = Path(__file__).parent.parent
HOME = ROOT / "target" / "benches"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
REPORTED = (
    "kafka-email",
    "aiokafka",
    "celery",
    "confluent-kafka",
    "fastapi",
    "faststream",
    "pydantic",
    "redis",
    "uvicorn",
    "uvloop",
)


def programs(python: Path | None) -> Programs:
    """Builds what is missing or outdated.

    Args:
        python: interpreter of an environment that has everything already; one in target/benches is made if None.

    Raises:
        RuntimeError: no wheel, or a command failed.
    """
    return Programs(python or _clients(), _librdkafka())


def _clients() -> Path:
    wheels = sorted((ROOT / "target" / "wheels").glob("*.whl"))
    if not wheels:
        raise RuntimeError("no wheel in target/wheels: run `make build` first")
    python, stamp = HOME / "venv" / "bin" / "python", HOME / "venv" / "stamp"
    wanted = f"{sys.version}\n{REQUIREMENTS.read_text()}\n{wheels[-1].name} {wheels[-1].stat().st_mtime_ns}"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the clients into target/benches/venv", file=sys.stderr)
        venv.create(HOME / "venv", with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--requirement", str(REQUIREMENTS), str(wheels[-1])])
        stamp.write_text(wanted)
    return python


def _librdkafka() -> Path:
    command = ["cargo", "bench", "--quiet", "--locked", "--no-run", "--bench", "librdkafka", "--message-format=json"]
    for line in _run(command).splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "librdkafka":
            return Path(message["executable"])
    raise RuntimeError("cargo built no executable for benches/librdkafka.rs")


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return {
        "measured on": time.strftime("%Y-%m-%d"),
        "CPU": cpu.partition(":")[2].strip() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GB",
        "kernel": platform.release(),
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions(used: Programs, kafka: str) -> dict[str, str]:
    """Of everything that was measured."""
    script = (
        f"import json; from importlib.metadata import version; print(json.dumps({{n: version(n) for n in {REPORTED}}}))"
    )
    packages: dict[str, Any] = json.loads(_run([str(used.python), "-c", script]))
    redis = _run(["redis-server", "--version"]).split("v=")[1].split()[0]
    python = _run([str(used.python), "-c", "import platform; print(platform.python_version())"]).strip()
    return {"Python": python, "Kafka": kafka, "Redis server": redis, **packages}


def plots(python: Path | None, results: Path) -> None:
    """Draws the plots of a file of results, with the environment's matplotlib."""
    _run([str(python or _clients()), "-m", "benches.plots", str(results.resolve()), str(ROOT / "docs" / "images")])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ... failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout
