"""A proxy in front of the SMTP sink that knows how far each session is, and kills a worker at a named place."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from support.ports import HOST

DOMAIN = "worker.example"
"""A worker says EHLO with `<its process id>.worker.example`."""
PLACES = ("mail", "data", "dot", "reply")
"""Before MAIL; within the mail; after the dot, when the mail is in the ledger; after the 250."""
_END_OF_MAIL = b"\r\n.\r\n"
_CHUNK = 65536


class Gate:
    """Listens on one port, and hands every session to the sink on another."""

    def __init__(self, sink_port: int, refuse_every: int, tell: Callable[[str], None]) -> None:
        """Refuses each `refuse_every`th recipient for good; `tell` hears of each kill."""
        self._sink_port = sink_port
        self._refuse_every = refuse_every
        self._tell = tell
        self._kills: Counter[str] = Counter()
        self._held: set[int] = set()
        self._recipients = 0

    def kill(self, place: str) -> None:
        """Kills the worker of the next session that reaches the place."""
        assert place in PLACES
        self._kills[place] += 1

    def hold(self, pid: int) -> None:
        """Keeps back every further reply to a mail of this worker."""
        self._held.add(pid)

    def is_held(self, pid: int) -> bool:
        """Whether replies to this worker's mails are kept back."""
        return pid in self._held

    def strikes(self, place: str, pid: int) -> bool:
        """Whether this worker was to be killed here, and now is."""
        if not self._kills[place]:
            return False
        self._kills[place] -= 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._tell(f"killed {pid} {place}")
        return True

    def refuses(self) -> bool:
        """Whether the next recipient is one of those that are refused for good."""
        self._recipients += 1
        return bool(self._refuse_every) and self._recipients % self._refuse_every == 0

    async def serve(self, port: int) -> None:
        """Serves until it is cancelled."""
        server = await asyncio.start_server(self._session, HOST, port)
        self._tell("listening")
        await server.serve_forever()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sink_reader, sink_writer = await asyncio.open_connection(HOST, self._sink_port)
        session = _Session(self, writer, sink_writer)
        pumps = [
            asyncio.create_task(_pump(reader, session.from_worker)),
            asyncio.create_task(_pump(sink_reader, session.from_sink)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.close()
        sink_writer.close()


class _Session:
    """One connection of a worker."""

    def __init__(self, gate: Gate, worker: asyncio.StreamWriter, sink: asyncio.StreamWriter) -> None:
        self._gate, self._worker, self._sink = gate, worker, sink
        self._pid = 0
        self._line = b""
        self._mail: bytearray | None = None
        self._awaits_reply = False

    def from_worker(self, data: bytes) -> None:
        if self._mail is not None:
            self._content(data)
            return
        *lines, self._line = (self._line + data).split(b"\r\n")
        for line in lines:
            self._command(line)

    def from_sink(self, data: bytes) -> None:
        if self._awaits_reply:
            self._awaits_reply = False
            if self._gate.is_held(self._pid) or self._gate.strikes("dot", self._pid):
                return
            self._worker.write(data)
            # Written at once, as the connection was idle: the kill comes later than the reply.
            self._gate.strikes("reply", self._pid)
            return
        if any(line.startswith(b"354") for line in data.split(b"\r\n")):
            self._mail = bytearray()
        self._worker.write(data)

    def _command(self, line: bytes) -> None:
        verb, _, arguments = line.partition(b" ")
        if verb.upper() == b"EHLO":
            self._pid = int(arguments.split(b".")[0])
        elif verb.upper() == b"MAIL" and self._gate.strikes("mail", self._pid):
            return
        elif verb.upper() == b"RCPT" and self._gate.refuses():
            line = b"RCPT nobody"  # for which the sink has a 501
        self._sink.write(line + b"\r\n")

    def _content(self, data: bytes) -> None:
        assert self._mail is not None
        if self._gate.strikes("data", self._pid):
            self._mail = None
            self._worker.close()
            return
        self._mail += data
        # A mail begins at the start of a line: it may be the dot alone.
        if self._mail.endswith(_END_OF_MAIL) or self._mail == _END_OF_MAIL[2:]:
            self._awaits_reply = True
            self._sink.write(bytes(self._mail))
            self._mail = None


async def _pump(reader: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            take(data)
