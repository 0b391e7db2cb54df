"""A server on loopback that does to its callers whatever a test wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Answering = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request on each connection by `answer`, and keeps what it saw."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.url = ""
        self.connections = 0
        self.open = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.changed = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it closes."""
        await self._count(1)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    self.heads.append(head)
                    self.bodies.append(await reader.readexactly(length))
                    answering = asyncio.ensure_future(self._answer(self, writer))
                    # A request without a body marks a caller that sends nothing more: its closing can be watched for.
                    gone = asyncio.ensure_future(reader.read(1)) if length == 0 else None
                    await asyncio.wait({answering, *([gone] if gone else [])}, return_when="FIRST_COMPLETED")
                    if gone is not None:
                        answering.cancel()
                        break
                    if writer.is_closing():
                        break
        finally:
            writer.close()
            await self._count(-1)

    async def _count(self, step: int) -> None:
        async with self.changed:
            self.open += step
            self.connections += max(step, 0)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a state of the server, ten seconds at most."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)


@contextlib.asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=300)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/chat/completions"
    try:
        yield server
    finally:
        listener.close()
        await server.until(lambda: server.open == 0)


def sends(*pieces: bytes, close: bool = False) -> Answering:
    async def answer(_server: Server, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return answer


def falls_silent_after(*pieces: bytes) -> Answering:
    async def answer(_server: Server, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
        await asyncio.Event().wait()

    return answer
