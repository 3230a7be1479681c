"""How an event loop learns that results have arrived: a socket that the native half writes to becomes readable."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_email._core import Mailbox

_readers: dict[Mailbox, asyncio.Task[None]] = {}


def listen(loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
    """Let the loop call ``mailbox.settle`` whenever the socket of the mailbox is readable."""
    try:
        loop.add_reader(mailbox.fileno(), mailbox.settle)
    except NotImplementedError:  # the Proactor loop of Windows has no add_reader
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
    # `fromfd` duplicates the descriptor: closing the copy leaves the one of the mailbox open.
    family = socket.AF_INET if sys.platform == "win32" else socket.AF_UNIX
    with socket.fromfd(mailbox.fileno(), family, socket.SOCK_STREAM) as bell:
        bell.setblocking(False)
        while await loop.sock_recv(bell, 64):
            # `call_soon`: `settle` resumes other tasks, which must not happen inside a running task.
            loop.call_soon(mailbox.settle)
