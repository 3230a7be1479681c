"""A delivery worker as a process. SIGTERM drains it; SIGUSR1 lets it kill itself after its next dead letter."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import kafka_email
from kafka_email import KafkaConfig, _core, _wakeup
from kafka_email.config import SmtpConfig, WorkerConfig
from support.ports import HOST
from support.worker.gate import DOMAIN

_NOT_FOR_RUST = ("health_host", "health_port")


class _Listener:
    """Writes what the worker tells, one line each."""

    def __init__(self) -> None:
        self.how: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.dies_at_dead_letter = False

    def log(self, level: int, event: str, message: str, details: dict[str, str | int]) -> None:
        if event == "dead_lettered" and self.dies_at_dead_letter:
            os.kill(os.getpid(), signal.SIGKILL)
        if event not in {"delivered", "dead_lettered"}:
            print(f"{time.time():.1f} {event}: {message}", flush=True)

    def started(self) -> None:
        print("started", flush=True)

    def call(self, job: _core.WorkerJob) -> None: ...

    def cancel(self, number: int) -> None: ...

    def processed(self, span: dict[str, Any]) -> None: ...

    def ended(self, how: str, text: str | None, finished: int, abandoned: int) -> None:
        print(f"ended: {how} {text or ''} finished={finished} abandoned={abandoned}", flush=True)
        self.how.set_result(how)

    def die_at_dead_letter(self) -> None:
        self.dies_at_dead_letter = True


def native_settings(wish: dict[str, Any]) -> dict[str, Any]:
    """The native worker's configuration."""
    kafka = KafkaConfig(bootstrap_servers=wish["bootstrap_servers"])
    smtp = SmtpConfig(
        host=HOST, port=wish["smtp_port"], security="none", helo_name=f"{os.getpid()}.{DOMAIN}", **wish["smtp"]
    )
    worker = WorkerConfig(
        group_id=wish["group"], topics=[wish["topic"]], from_address="postman@example.org", **wish["worker"]
    )
    settings = worker.native_settings()
    return {
        "connection": kafka.native_settings()["connection"],
        "worker": {name: value for name, value in settings.items() if name not in _NOT_FOR_RUST},
        "smtp": smtp.native_settings(),
        "rate_limit": smtp.rate_limit,
        "builtin": str(Path(kafka_email.__file__).parent / "templates"),
        "named": [],
        "handlers": [],
    }


async def _run(wish: dict[str, Any]) -> int:
    listener = _Listener()
    worker = _core.Worker(native_settings(wish), listener, False, None, None)
    loop = asyncio.get_running_loop()
    silence = _wakeup.listen(loop, worker)
    loop.add_signal_handler(signal.SIGTERM, worker.drain)
    loop.add_signal_handler(signal.SIGUSR1, listener.die_at_dead_letter)
    how = await listener.how
    silence()
    return 0 if how == "drained" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(json.loads(sys.argv[1]))))
