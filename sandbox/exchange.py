"""One HTTP exchange over ASGI: read the body, reply whole or in parts, or drop the connection."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
_TRANSPORT = "sandbox.transport"


class OpenHandedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also hands out the transport: ASGI itself has no way to drop a connection."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class BodyTooLarge(Exception):
    """The request's body is over the limit."""


class Exchange:
    """A request and the way to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._scope = scope
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str | None:
        """The first header of this (lower-case) name."""
        return self.headers.get(name.decode("latin-1"))

    @property
    def headers(self) -> dict[str, str]:
        """Every header by its lower-case name; of several the first."""
        rows: list[tuple[bytes, bytes]] = self._scope["headers"]
        return {key.decode("latin-1"): value.decode("latin-1") for key, value in reversed(rows)}

    @property
    def query(self) -> str:
        """What stands behind the question mark."""
        text: str = self._scope["query_string"].decode("latin-1")
        return text

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Raises BodyTooLarge."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit_bytes:
                raise BodyTooLarge
            if not message.get("more_body", False):
                return b"".join(parts)

    async def reply(
        self, status: int, body: bytes, kind: bytes = JSON, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """A whole reply."""
        await self.open(status, kind, [(b"content-length", str(len(body)).encode()), *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def open(self, status: int, kind: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Status and headers of a reply whose body follows by `part` (chunked unless the length is among them)."""
        rows = [(b"content-type", kind), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": rows})

    async def part(self, body: bytes, *, is_last: bool = False) -> None:
        """More of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def hang_up(self) -> None:
        """Close the connection now, whatever was promised; bytes already given to `part` still leave."""
        transport: asyncio.Transport = self._scope["extensions"][_TRANSPORT]["transport"]
        transport.close()
        await self.gone()

    async def gone(self) -> None:
        """Wait until the connection is closed."""
        while (await self._receive())["type"] != "http.disconnect":
            continue
