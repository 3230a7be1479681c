"""How an event loop learns that results have arrived: a socket that the native half writes to becomes readable.

The native half calls ``listen``, and ``running_loop`` for its error. What a loop runs for the package has an empty
context: that of the first caller would keep the objects of a request alive, and show up in log lines of other requests.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_email._core import Mailbox, Worker


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        RuntimeError: None does; says what is needed.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        message = "kafka_email needs a running event loop of asyncio or uvloop: await this in a coroutine of asyncio's"
        raise RuntimeError(message) from None


def listen(loop: asyncio.AbstractEventLoop, mailbox: Mailbox | Worker) -> Callable[[], object]:
    """Let the loop call ``mailbox.settle`` whenever the socket of the mailbox is readable; return what ends that.

    Only the loop keeps the mailbox alive: if nobody closes it, both are garbage together.
    """
    return Context().run(_listen, loop, mailbox)


def _listen(loop: asyncio.AbstractEventLoop, mailbox: Mailbox | Worker) -> Callable[[], object]:
    try:
        loop.add_reader(mailbox.fileno(), mailbox.settle)
    except NotImplementedError:  # the Proactor loop of Windows has no add_reader
        reader = loop.create_task(_read(loop, mailbox), name="kafka-email wake-up")
        reader._log_destroy_pending = False  # type: ignore[attr-defined]  # it ends with its loop, in silence
        return reader.cancel
    return partial(loop.remove_reader, mailbox.fileno())


async def _read(loop: asyncio.AbstractEventLoop, mailbox: Mailbox | Worker) -> None:
    # `fromfd` duplicates the descriptor: closing the copy leaves the one of the mailbox open.
    family = socket.AF_INET if sys.platform == "win32" else socket.AF_UNIX
    with socket.fromfd(mailbox.fileno(), family, socket.SOCK_STREAM) as bell:
        bell.setblocking(False)
        while await loop.sock_recv(bell, 64):
            # `call_soon`: after the tasks that were resumed last time.
            loop.call_soon(mailbox.settle)
