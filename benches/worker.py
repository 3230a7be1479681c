"""One measurement in a process of its own: a job as JSON on standard input, one line of JSON with what was measured."""

import asyncio
import importlib
import json
import sys
from typing import Any

from benches import blocking
from benches.loads import LOADS, memory_mb


def main() -> None:
    job = json.load(sys.stdin)
    client = importlib.import_module(f"benches.clients.{job['client']}")
    if job["load"] in blocking.LOADS:
        result = measure_blocking(client, job)
    elif job["loop"] == "uvloop":
        import uvloop

        result = uvloop.run(measure(client, job))
    else:
        result = asyncio.run(measure(client, job))
    print(json.dumps(result | {"peak_rss_mb": memory_mb("VmHWM")}))


async def measure(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Connects a client and puts the job's load on it."""
    async with client.connected(job["servers"], job["topic"], **job["settings"]) as publish:
        return await LOADS[job["load"]](publish, **job["arguments"])


def measure_blocking(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    """The same without an event loop."""
    with client.opened(job["servers"], job["topic"], **job["settings"]) as (publish, settle):
        return blocking.LOADS[job["load"]](publish, settle, **job["arguments"])


if __name__ == "__main__":
    main()
