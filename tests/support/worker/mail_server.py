"""A mail server as a process: the SMTP sink with a ledger, behind the gate. Commands come by standard input."""

import asyncio
import sys
import threading
from typing import cast

from kafka_email.testing import SmtpSink
from kafka_email.testing.sink import Stage
from support.worker.gate import Gate


def _tell(line: str) -> None:
    print(line, flush=True)


def _obey(sink: SmtpSink, gate: Gate, line: str) -> None:
    """One of `kill PLACE`, `hold PID`, `fail CODE STAGE COUNT`, `drop STAGE COUNT`."""
    match line.split():
        case ["kill", place]:
            gate.kill(place)
        case ["hold", pid]:
            gate.hold(int(pid))
        case ["fail", code, stage, count]:
            sink.fail_next(int(code), int(count), cast("Stage", stage))
        case ["drop", stage, count]:
            sink.drop_next(cast("Stage", stage), int(count))
        case unknown:
            raise ValueError(f"unknown command {unknown}")


async def _serve(sink: SmtpSink, port: int, refuse_every: int) -> None:
    gate = Gate(sink.port, refuse_every, _tell)
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(_obey, sink, gate, line)

    threading.Thread(target=listen, daemon=True).start()
    await gate.serve(port)


if __name__ == "__main__":
    _, ledger, port, refuse_every = sys.argv
    with SmtpSink(ledger=ledger, keep=False) as started:
        asyncio.run(_serve(started, int(port), int(refuse_every)))
