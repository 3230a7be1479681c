"""An embedded broker behind TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kafka_email.testing import EmbeddedBroker
from support.ports import HOST, free_port


@asynccontextmanager
async def behind_tls(broker: EmbeddedBroker, server_file: Path) -> AsyncIterator[str]:
    """Listens with a certificate and hands everything on to a broker; yields the address.

    Clients learn this address from the broker's answers as well, in place of the broker's own.

    Args:
        broker: a single broker.
        server_file: key and certificates of the server.
    """
    port, own_port = int(broker.bootstrap_servers.partition(":")[2]), free_port()
    true_address, shown_address = (HOST.encode() + number.to_bytes(4, "big") for number in (port, own_port))

    async def ask(client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while request := await client.read(65536):
            server.write(request)
            await server.drain()

    async def answer(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while True:
            size = await server.readexactly(4)
            response = await server.readexactly(int.from_bytes(size, "big"))
            client.write(size + response.replace(true_address, shown_address))
            await client.drain()

    async def serve(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(HOST, port)
            try:
                both = [
                    asyncio.create_task(ask(from_client, to_server)),
                    asyncio.create_task(answer(from_server, to_client)),
                ]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            finally:
                await close(to_server)
        finally:
            await close(to_client)

    async def close(writer: asyncio.StreamWriter) -> None:
        writer.close()
        with suppress(OSError):  # the other side was faster
            await writer.wait_closed()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_file)
    connections: set[asyncio.Task[None]] = set()

    def accept(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(from_client, to_client))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listening = await asyncio.start_server(accept, HOST, own_port, ssl=context)
    try:
        yield f"{HOST}:{own_port}"
    finally:
        listening.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
