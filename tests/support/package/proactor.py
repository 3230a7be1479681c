"""A plugin for pytest: event loops without `add_reader`, as Windows' Proactor loop.

Usage: `pytest -p support.package.proactor`.
"""

import asyncio
import socket
from typing import Any

_PAUSE_S = 0.001


def _missing(*_: Any) -> None:
    raise NotImplementedError


async def _receive(_: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    # The loop's own would need a reader.
    while True:
        try:
            return sock.recv(count)
        except BlockingIOError:
            await asyncio.sleep(_PAUSE_S)


asyncio.SelectorEventLoop.add_reader = _missing  # type: ignore[method-assign,assignment]
asyncio.SelectorEventLoop.remove_reader = _missing  # type: ignore[method-assign,assignment]
asyncio.SelectorEventLoop.sock_recv = _receive  # type: ignore[method-assign,assignment]
