"""A FastAPI endpoint that publishes, under uvicorn, and `wrk` that calls it from 64 connections."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benches.services import ended
from support.ports import HOST, free_port

CONNECTIONS = 64
WARM_UP_S = 1.0
START_S = 20.0
SETTLE_S = 0.3
POST = Path(__file__).with_name("post.lua")


def measure(python: Path, job: dict[str, Any], window_s: float, environment: dict[str, str]) -> dict[str, Any]:
    """Requests a second, their latency, and how many events were acknowledged.

    Raises:
        RuntimeError: the application did not start, or `wrk` failed.
    """
    port = free_port()
    url = f"http://{HOST}:{port}"
    command = [str(python), "-m", "uvicorn", "benches.application:app", "--host", HOST, "--port", str(port)]
    command += ["--log-level", "warning", "--no-access-log"]
    with ended(command, env=environment | {"BENCHES_JOB": json.dumps(job)}):
        _wait_for(f"{url}/published")
        _wrk(url, WARM_UP_S)
        run = _wrk(url, window_s)
        run["successes"] = _published(url)
    return run


def _published(url: str) -> int:
    """How many publishes succeeded, once those of the last requests are done, which wrk does not wait for."""
    before, now = -1, int(_get(f"{url}/published"))
    while before != now:
        time.sleep(SETTLE_S)
        before, now = now, int(_get(f"{url}/published"))
    return now


def _wrk(url: str, seconds: float) -> dict[str, Any]:
    # wrk takes whole seconds.
    duration = f"{round(seconds)}s"
    command = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(CONNECTIONS),
        "--duration",
        duration,
        "--script",
        str(POST),
    ]
    done = subprocess.run([*command, f"{url}/register"], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            _get(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the application did not start within {START_S:.0f} s")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=START_S) as response:
        text: str = response.read().decode()
    return text
