"""One measurement in a process of its own: a job as JSON on standard input, one line of JSON with what was measured."""

import asyncio
import importlib
import json
import sys
from typing import Any

from benches.loads import LOADS, memory_mb


async def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Connects the client that the job names, and puts the load on it."""
    client = importlib.import_module(f"benches.clients.{job['client']}")
    async with client.connected(job["servers"], job["topic"], **job["settings"]) as publish:
        result = await LOADS[job["load"]](publish, **job["arguments"])
    return result | {"peak_rss_mb": memory_mb("VmHWM")}


def main() -> None:
    job = json.load(sys.stdin)
    if job["loop"] == "uvloop":
        import uvloop

        result = uvloop.run(measure(job))
    else:
        result = asyncio.run(measure(job))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
