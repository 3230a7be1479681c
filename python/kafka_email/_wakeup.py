"""How an event loop hears that there is something to settle."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_email._core import Mailbox

_readers: dict[Mailbox, asyncio.Task[None]] = {}


def listen(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    """Let the loop call ``mailbox.settle`` whenever its socket is readable."""
    try:
        loop.add_reader(mailbox.fileno(), mailbox.settle)
    except NotImplementedError:  # Windows' Proactor loop has no add_reader
        _readers[mailbox] = loop.create_task(_read(loop, mailbox), name="kafka-email wake-up")


def unlisten(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    """Undo :func:`listen`."""
    reader = _readers.pop(mailbox, None)
    if reader is None:
        loop.remove_reader(mailbox.fileno())
    else:
        reader.cancel()


async def _read(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    # A socket object of our own over a copy of the descriptor: closing it leaves the mailbox's alone.
    with socket.socket(fileno=os.dup(mailbox.fileno())) as bell:
        bell.setblocking(False)
        while await loop.sock_recv(bell, 64):
            mailbox.settle()
