"""Server-sent events: how they are written, and when a silent stream gives a sign of life."""

from starlette.types import Send

KEEP_ALIVE_S = 15.0
"""A comment is sent after so long a silence, so that no proxy takes the stream for dead."""
KEEP_ALIVE = b": keep-alive\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold tokens back
]


def event(data: bytes, *, name: str = "", event_id: str = "") -> bytes:
    """One event; `data` has no line ends."""
    head = f"event: {name}\n" if name else ""
    head += f"id: {event_id}\n" if event_id else ""
    return head.encode() + b"data: " + data + b"\n\n"


def comment(text: str) -> bytes:
    """A line that every reader ignores."""
    return f": {text}\n\n".encode()


class Outlet:
    """The response of a stream: begun once, written, ended. `send` waits for a client that reads slowly."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_begun = False

    async def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """The status 200 and the headers, ours and these."""
        self.is_begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS + headers})

    async def write(self, raw: bytes) -> None:
        """Send events."""
        await self._send({"type": "http.response.body", "body": raw, "more_body": True})

    async def end(self) -> None:
        """Nothing follows."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
