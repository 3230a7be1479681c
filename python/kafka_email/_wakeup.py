"""How an event loop hears that there is something to settle."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_email._core import Mailbox

_readers: dict[Mailbox, asyncio.Task[None]] = {}


def listen(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    """Let the loop call ``mailbox.settle`` whenever its socket is readable."""
    try:
        loop.add_reader(mailbox.fileno(), mailbox.settle)
    except NotImplementedError:  # Windows' Proactor loop has no add_reader
        reader = loop.create_task(_read(loop, mailbox), name="kafka-email wake-up")
        _readers[mailbox] = reader
        reader.add_done_callback(lambda _: _readers.pop(mailbox, None))


def unlisten(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    """Undo :func:`listen`."""
    reader = _readers.get(mailbox)
    if reader is None:
        loop.remove_reader(mailbox.fileno())
    else:
        reader.cancel()


async def _read(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    # A copy of the descriptor: closing it leaves the mailbox's own alone.
    family = socket.AF_INET if sys.platform == "win32" else socket.AF_UNIX
    with socket.fromfd(mailbox.fileno(), family, socket.SOCK_STREAM) as bell:
        bell.setblocking(False)
        while await loop.sock_recv(bell, 64):
            # Not from here: tasks go on while it settles, and this is one.
            loop.call_soon(mailbox.settle)
