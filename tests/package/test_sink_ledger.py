"""The SMTP sink's file of what it has accepted."""

import asyncio
import smtplib
from pathlib import Path
from typing import cast

import aiosmtplib
import pytest

from kafka_email.testing import SmtpSink
from support.package.mails import ADA, SENDER, connected, mail, send


def test_the_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text("cut")
    with SmtpSink(ledger=ledger, keep=False) as sink:
        with connected(sink) as client:
            client.send_message(mail("one"), SENDER, [ADA, "bob@example.com"])
            # On disk before the client knows.
            assert ledger.read_text() == "cut\none ada@example.com\none bob@example.com\n"
            sink.fail_next(451, stage="dot")
            with pytest.raises(smtplib.SMTPDataError):
                client.send_message(mail("refused"))
        sink.drop_next("dot")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(sink, mail("unknown"))
        sink.stop()
        sink.start()
        with connected(sink) as client:
            client.sendmail(SENDER, [ADA], b"\r\nno id\r\n")
        assert (sink.count, sink.mails) == (3, [])
    lines = ["one ada@example.com", "one bob@example.com", "unknown ada@example.com", "- ada@example.com"]
    assert ledger.read_text().splitlines() == ["cut", *lines]
    with pytest.raises(OSError, match="cannot write its ledger"):
        SmtpSink(ledger=tmp_path / "nowhere" / "ledger").start()


async def test_a_ledger_of_many_connections(tmp_path: Path) -> None:
    async def deliver(sink: SmtpSink, number: int) -> None:
        async with aiosmtplib.SMTP(hostname=sink.host, port=sink.port, timeout=30) as client:
            for turn in range(10):
                await client.sendmail(SENDER, [ADA], f"Message-ID: <{number}-{turn}@x>\r\n\r\ntext\r\n")

    ledger = tmp_path / "ledger"
    async with SmtpSink(ledger=ledger) as sink:
        await asyncio.gather(*(deliver(sink, number) for number in range(20)))
        written = [line.split()[0] for line in ledger.read_text().splitlines()]
        assert sorted(written) == sorted(cast("str", received.event_id) for received in sink.mails)
        assert len(written) == 200
