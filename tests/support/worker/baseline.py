"""The consumer of the original application as a process: it commits by the clock, and swallows every error of SMTP."""

import asyncio
import json
import os
import sys
from email.message import EmailMessage
from typing import Any

import aiokafka  # type: ignore[import-untyped]
import aiosmtplib

from support.ports import HOST
from support.worker.gate import DOMAIN


async def _run(wish: dict[str, Any]) -> None:
    consumer = aiokafka.AIOKafkaConsumer(
        wish["topic"],
        bootstrap_servers=wish["bootstrap_servers"],
        group_id=wish["group"],
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
    )
    await consumer.start()
    print("started", flush=True)
    async for record in consumer:
        event = json.loads(record.value)
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "postman@example.org", event["recipient"], "Notification"
        mail["Message-ID"] = f"<{dict(record.headers)['ce_id'].decode()}@example.org>"
        mail.set_content(event["link"])
        try:
            name = f"{os.getpid()}.{DOMAIN}"
            await aiosmtplib.send(mail, hostname=HOST, port=wish["smtp_port"], local_hostname=name, timeout=10)
        except (aiosmtplib.SMTPException, OSError) as error:
            print(f"mail not sent: {type(error).__name__}", flush=True)


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
