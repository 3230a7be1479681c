"""The application: publishes until its input ends, and writes down what became of each event and how it fares itself.

Usage: python -m soak.application SERVERS TOPIC DIRECTORY. A process of its own, so that nothing else is in its figures.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kafka_email import RecordMetadata
from support.faults.traffic import Attempt, publishing
from support.package.embedded import native_threads, open_files

LATE_S = 0.02
"""What a tick of the loop may be late."""
_TICK_S = 0.01
_SAMPLE_S = 1.0


async def main(servers: str, topic: str, directory: Path) -> None:
    with (directory / "attempts").open("w") as attempts, (directory / "samples").open("w") as samples:

        def tell(attempt: Attempt) -> None:
            result = attempt.result
            if isinstance(result, RecordMetadata):
                end = f"stored {result.partition} {result.offset}"
            else:
                end = f"failed {result.code} {int(result.maybe_delivered)}"
            attempts.write(f"{attempt.number} {attempt.seconds:.3f} {end}\n")

        async with publishing(servers, topic, tell) as traffic:
            sampling = asyncio.create_task(_sample(samples.write))
            await asyncio.to_thread(sys.stdin.read)
            sampling.cancel()
        print(traffic.issued, traffic.hung, traffic.deadline_s)


async def _sample(write: Callable[[str], object]) -> None:
    """Each second: time, memory in MB, threads of the package, open files, percentage of ticks that were late."""
    began, ticks, late, due = time.monotonic(), 0, 0, time.monotonic() + _SAMPLE_S
    while True:
        before = time.monotonic()
        await asyncio.sleep(_TICK_S)
        now = time.monotonic()
        ticks += 1
        late += now - before - _TICK_S > LATE_S
        if now >= due:
            figures = (_memory_mb(), native_threads().total(), open_files(), 100 * late / ticks)
            write(f"{now - began:.0f} {' '.join(f'{figure:.6g}' for figure in figures)}\n")
            ticks, late, due = 0, 0, now + _SAMPLE_S


def _memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
