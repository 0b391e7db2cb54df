"""A webhook receiver on loopback: verifies every signature, keeps what it got, answers as it is told."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable

from standardwebhooks import Webhook, WebhookVerificationError

Answer = tuple[int, dict[str, str]]
ACCEPTED: Answer = (200, {})


class Receiver:
    """One listener for many endpoints: `/name` is answered by `answers[name]`, by 200 if that says nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.secrets: dict[str, list[str]] = defaultdict(list)
        """By name; with two secrets (a rotation) both must verify."""
        self.answers: dict[str, Callable[[int], Answer | None]] = {}
        """From the count of requests so far; None: take the request and never answer it."""
        self.got: list[tuple[str, str]] = []
        """(name, webhook-id) of all that was answered by a 2xx."""
        self.tried: Counter[str] = Counter()
        self.bodies: dict[str, set[bytes]] = defaultdict(set)
        """By webhook-id."""
        self.forged = 0
        self.most_at_once: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()
        self.changed = asyncio.Condition()
        self._over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._request(reader, writer)
        finally:
            writer.close()
            async with self.changed:
                self.changed.notify_all()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): text for name, text in headers.items()}
        body = await reader.readexactly(int(headers["content-length"]))
        name = first.split(" ")[1].removeprefix("/")
        self.tried[name] += 1
        self._at_once[name] += 1
        self.most_at_once[name] = max(self.most_at_once[name], self._at_once[name])
        self._verify(name, headers, body)
        answer = self.answers[name](self.tried[name]) if name in self.answers else ACCEPTED
        async with self.changed:
            self.changed.notify_all()
        try:
            if answer is None:
                await self._over.wait()
                return
            await asyncio.sleep(0)
            status, told = answer
            if 200 <= status < 300:
                self.got.append((name, headers["webhook-id"]))
            lines = [f"HTTP/1.1 {status} X", "content-length: 0", *(f"{key}: {text}" for key, text in told.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
            await writer.drain()
        finally:
            self._at_once[name] -= 1

    def _verify(self, name: str, headers: dict[str, str], body: bytes) -> None:
        self.bodies[headers["webhook-id"]].add(body)
        for secret in self.secrets[name]:
            try:
                Webhook(secret).verify(body, headers)
            except WebhookVerificationError:
                self.forged += 1

    async def until(self, holds: Callable[[], bool], limit_s: float = 20.0) -> None:
        async with asyncio.timeout(limit_s), self.changed:
            await self.changed.wait_for(holds)

    def end(self) -> None:
        self._over.set()


@contextlib.asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    listener = await asyncio.start_server(receiver.serve, "127.0.0.1", port, backlog=500)
    receiver.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        receiver.end()
        listener.close()
        await listener.wait_closed()
