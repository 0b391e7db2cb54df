"""A relay in front of Redis whose links can be made half open, by what they carry: nothing arrives, nobody hangs up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PIECE_BYTES = 65_536
LINKS = {"pop": (b"BRPOP",), "pub/sub": (b"SUBSCRIBE",), "publish": (b"LPUSH", b"PUBLISH")}
"""The kinds of links, by the commands that a client has sent on them."""
KNOWN = tuple(word for words in LINKS.values() for word in words)


class Link:
    """One client's connection: what commands it has sent, and whether it is half open now."""

    def __init__(self) -> None:
        self.said: set[bytes] = set()
        self.is_hung = False
        self.is_over = False

    def note(self, piece: bytes) -> None:
        for word in KNOWN:
            if word in piece:
                self.said.add(word)


class Proxy:
    """Relays a Unix socket to another. `hang` makes the links of a kind half open for ever; new ones are served."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._links: list[Link] = []
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, redis_url: str, folder: Path) -> AsyncIterator[tuple["Proxy", str]]:
        """A proxy before that Redis, and its own address."""
        proxy, path = cls(Path(redis_url.removeprefix("unix://"))), folder / "proxy.sock"
        server = await asyncio.start_unix_server(proxy._begin, path)
        try:
            yield proxy, f"unix://{path}"
        finally:
            server.close()
            for task in proxy._serving:
                task.cancel()
            if proxy._serving:
                await asyncio.wait(proxy._serving)

    def links(self, words: Sequence[bytes]) -> list[Link]:
        """Those at work that have sent one of these commands."""
        return [link for link in self._links if not link.is_over and not link.is_hung and link.said & set(words)]

    def hang(self, words: Sequence[bytes]) -> int:
        """Make every link that has sent one of these commands half open: how many there are."""
        struck = self.links(words)
        for link in struck:
            link.is_hung = True
        return len(struck)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link()
        self._links.append(link)
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        there = asyncio.ensure_future(self._relay(link, reader, far_writer, is_clients=True))
        back = asyncio.ensure_future(self._relay(link, far_reader, writer, is_clients=False))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if link.is_hung:
                await there  # the server's end says nothing any more: the client must find out for itself
        finally:
            link.is_over = True
            for task in (there, back):
                task.cancel()
            far_writer.close()
            writer.close()

    async def _relay(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_clients: bool
    ) -> None:
        """Carry bytes until this side ends; on a link that is half open they go nowhere."""
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if is_clients:
                    link.note(piece)
                if not link.is_hung:
                    writer.write(piece)
                    await writer.drain()
