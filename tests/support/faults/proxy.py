"""A bad network: a TCP proxy on loopback that delays and resets, and a port where nobody ever answers."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from support.ports import HOST, free_port

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on for 0 s: closing sends RST in place of FIN


class Proxy:
    """Passes bytes on between its own port and a target's, in an event loop and a thread of its own.

    A Kafka whose advertised listener is the proxy's port is reached through it by every request.
    """

    def __init__(self) -> None:
        """Chooses the port; it listens inside the `with` block."""
        self.port = free_port()
        self.target_port = 0
        """May be set after the start, before the first connection."""
        self.delay_s = 0.0
        """How long bytes take in each direction: half of what is added to a round trip."""
        self.connections = 0
        """How often a client has connected so far."""
        self.requests = bytearray()
        """What clients have sent so far."""
        self.responses = bytearray()
        """What they were answered so far."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> "Proxy":
        self._thread.start()
        serving = asyncio.start_server(self._serve, HOST, self.port)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> None:
        """Breaks all connections; what is under way in either direction is gone."""
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        for writer in self._writers:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        target_reader, target_writer = await asyncio.open_connection(HOST, self.target_port)
        ends = {writer, target_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pass_on(reader, target_writer, self.requests),
                self._pass_on(target_reader, writer, self.responses),
            )
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noted: bytearray) -> None:
        """Until either end is gone; then the other one goes as well."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(on_the_way, writer))
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                noted += chunk
                on_the_way.put_nowait((time.monotonic() + self.delay_s, chunk))
        on_the_way.put_nowait((0.0, b""))
        await arriving

    @staticmethod
    async def _arrive(on_the_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                due, chunk = await on_the_way.get()
                if not chunk:
                    break
                await asyncio.sleep(due - time.monotonic())
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _close(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def blackhole() -> Iterator[str]:
    """The `host:port` of a socket that takes connections and never reads from them."""
    with socket.socket() as listening:
        listening.bind((HOST, free_port()))
        listening.listen()
        host, port = listening.getsockname()
        yield f"{host}:{port}"
