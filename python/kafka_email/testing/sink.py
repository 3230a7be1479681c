"""An SMTP server inside the process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from kafka_email._core import SmtpSink as NativeSink
from kafka_email._dependency import NoParameters
from kafka_email.testing.mail import ReceivedMail

__all__ = ["SmtpSink", "Stage"]

Stage = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot"]
"""A step of an SMTP session: the greeting, a command, or the dot that ends a mail."""

_SIZE = 10_240_000
_CODES = range(200, 600)


class SmtpSink:
    """An SMTP server on 127.0.0.1 that accepts mails and delivers none. Tests can let it fail.

    Mails, scripted faults and, after the first start, the port outlive ``stop()`` and the next ``start()``, so that a
    test can restart the server.

    Args:
        port: Port, 0 for a free one.
        delay_ms: Milliseconds by which replies are delayed; can be assigned later.
        size: Bytes of the largest mail that it accepts, which it offers as SIZE; 0 for no limit, None to offer no SIZE.
        pipelining: Whether it offers PIPELINING.
        eight_bit_mime: Whether it offers 8BITMIME.
        smtputf8: Whether it offers SMTPUTF8, and accepts addresses that are not ASCII.
        certfile: PEM file of its certificate, if it is to speak TLS.
        keyfile: PEM file of the private key; when None, ``certfile`` contains it as well.
        security: ``starttls``, or ``tls`` when TLS begins with the connection, as on port 465. Means nothing without a
            certificate.
        users: Passwords by user name, which are accepted as XOAUTH2 tokens as well. With users, it offers AUTH (over
            TLS if it has a certificate) and accepts mails only after it.
        ledger: File to which a line ``<event id> <recipient>`` is appended for each recipient of a mail (``-`` for a
            mail without a Message-ID), and synced to disk, before the mail is acknowledged.
        keep: Whether mails are stored. Otherwise they are only counted.

    Raises:
        ValueError: The certificate cannot be used.
    """

    __signature__ = NoParameters()

    def __init__(
        self,
        *,
        port: int = 0,
        delay_ms: int = 0,
        size: int | None = _SIZE,
        pipelining: bool = True,
        eight_bit_mime: bool = True,
        smtputf8: bool = True,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
        security: Literal["starttls", "tls"] = "starttls",
        users: Mapping[str, str] | None = None,
        ledger: str | os.PathLike[str] | None = None,
        keep: bool = True,
    ) -> None:
        offered = {"PIPELINING": pipelining, "8BITMIME": eight_bit_mime, "SMTPUTF8": smtputf8}
        tls = None
        if certfile is not None:
            files = {"certfile": os.fspath(certfile), "keyfile": os.fspath(keyfile or certfile)}
            tls = {**files, "implicit": security == "tls"}
        self._sink = NativeSink(
            {
                "port": port,
                "extensions": [keyword for keyword, is_offered in offered.items() if is_offered],
                "size": size,
                "tls": tls,
                "users": dict(users or {}),
                "ledger": None if ledger is None else os.fspath(ledger),
                "keep": keep,
            }
        )
        self._port: int | None = None
        self.delay_ms = delay_ms

    def start(self) -> SmtpSink:
        """Listen on 127.0.0.1. Does nothing when the sink is started already.

        Raises:
            OSError: The port is taken, or the ledger cannot be opened.
        """
        self._port = self._sink.start()
        return self

    def stop(self) -> None:
        """Stop listening and close all connections. Does nothing when the sink is stopped already."""
        self._sink.stop()

    def __enter__(self) -> SmtpSink:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> SmtpSink:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def host(self) -> str:
        """The address on which it listens: 127.0.0.1."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port on which it listens, or listened when it was last started.

        Raises:
            RuntimeError: It was never started.
        """
        if self._port is None:
            raise RuntimeError("the SMTP sink is not running: use it in a `with` block, or call start()")
        return self._port

    @property
    def delay_ms(self) -> int:
        """Milliseconds by which replies are delayed; can be assigned.

        As with a distant server, commands that arrive together are delayed together.
        """
        return self._delay_ms

    @delay_ms.setter
    def delay_ms(self, delay: int) -> None:
        self._sink.set_delay(timedelta(milliseconds=delay))
        self._delay_ms = delay

    @property
    def mails(self) -> list[ReceivedMail]:
        """The accepted mails in the order in which they were accepted; none with ``keep=False``."""
        return [
            ReceivedMail(sender=sender, recipients=tuple(recipients), raw=raw, event_id=event_id)
            for sender, recipients, raw, event_id in self._sink.mails()
        ]

    @property
    def count(self) -> int:
        """How many mails were accepted."""
        return self._sink.count

    def wait_for(self, n: int, timeout: float = 10.0) -> list[ReceivedMail]:
        """Wait until at least ``n`` mails have been accepted, and return all of them.

        Blocks; in a coroutine: ``await asyncio.to_thread(sink.wait_for, n)``.

        Args:
            n: How many mails.
            timeout: Seconds.

        Raises:
            TimeoutError: After ``timeout`` seconds there are fewer.
        """
        if not self._sink.wait(max(n, 0), timedelta(seconds=max(timeout, 0))):
            raise TimeoutError(f"the SMTP sink has accepted {self.count} mails after {timeout} s, not {n}")
        return self.mails

    def fail_next(self, code: int, n: int = 1, stage: Stage = "rcpt") -> None:
        """Answer with ``code`` the next ``n`` times that a session reaches a stage.

        A code from 200 to 299 is no failure: it takes the place of the usual code, such as 251 to a recipient. After
        354 to DATA a mail is received, even if all recipients were refused. A 421 closes the connection. Otherwise the
        command has no effect, and a mail whose dot is refused is not stored.

        Args:
            code: Reply code, from 200 to 599.
            n: How many times, in all sessions together.
            stage: Where.

        Raises:
            ValueError: There is no such code or stage.
        """
        if code not in _CODES:
            raise ValueError(f"{code} is no reply code: it is a number from 200 to 599")
        self._sink.fail_next(stage, code, n)

    def drop_next(self, stage: Stage, n: int = 1) -> None:
        """Close the connection the next ``n`` times that a session reaches a stage.

        There is no reply. At ``data`` the connection ends within the mail; at ``dot`` the mail is stored, and only the
        reply is lost.

        Args:
            stage: Where.
            n: How many times, in all sessions together.

        Raises:
            ValueError: There is no such stage.
        """
        self._sink.drop_next(stage, n)

    def clear(self) -> None:
        """Drop all mails and the scripted faults, and count from 0 again."""
        self._sink.clear()

    def __repr__(self) -> str:
        return f"<SmtpSink on port {self._port}>"
