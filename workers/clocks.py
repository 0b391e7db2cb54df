"""The four clocks of one provider call, and what it means when one of them runs out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind

SENDING = "send_request_headers.started"
"""How httpx2's transports name the moment between "connected" and "sent", behind `http11.` or `http2.`."""

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
TOKENS_S = 60.0
"""Between two pieces with content of one stream, however alive its line is kept; thoughts that are not shown may take
so long. Before the first one only the total counts: DeepSeek keeps a call waiting in line for minutes."""
SENTENCES: dict[str, str] = {
    "connect": "No connection within the time for it; nothing was sent",
    "no_connection": "No connection to the provider; nothing was sent",
    "illegal_request": "The address or a header cannot be sent over HTTP; nothing was sent",
    "first_byte": "The provider took the request and did not begin to answer in time",
    "idle": "The provider stopped in mid-answer",
    "no_tokens": "The provider kept the line alive in mid-answer and sent no more tokens",
    "total": "The provider did not end its answer in time",
    "connection_lost": "The connection broke after the request was sent",
    "not_http": "The reply is not HTTP",
    "content_encoding": "The reply is compressed, though we asked for plain bytes",
    "body_too_large": "The reply is larger than allowed",
}


class Clocks(msgspec.Struct, frozen=True):
    """Four limits of one call, in seconds."""

    connect_s: float = 5.0
    """Name look-up, TCP and TLS."""
    first_byte_s: float = 60.0
    """From a connection to the head of the reply. An unstreamed reply sends its head when the answer is ready."""
    idle_s: float = 60.0
    """Between two reads. Keep-alive comments count as reads; whether tokens come is for the reader of the stream."""
    total_s: float = 120.0
    """From a connection to the last byte."""


class TokenClock:
    """Whether tokens still come: comments, pings and blank lines do not set it back, content does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s: float | None = None

    def came(self) -> None:
        """A piece with content was read."""
        self._last_s = self._clock()

    @property
    def is_over(self) -> bool:
        """Too long since the last one."""
        return self._last_s is not None and self._clock() - self._last_s >= TOKENS_S


class Progress:
    """How far one call is, and which of its clocks runs."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._loop = asyncio.get_running_loop()
        self._clock = "connect"
        self.alarm: asyncio.Timeout | None = None
        self.sent_at: float | None = None
        """Loop time in s when the request was put on a connection; None: nothing can have been sent."""

    async def trace(self, name: str, _details: Mapping[str, Any]) -> None:
        """What a transport calls at each step; the step from connecting to sending starts the other clocks."""
        if self.sent_at is not None or not name.endswith(SENDING):
            return
        self.sent_at = self._loop.time()
        self._clock = "first_byte" if self._clocks.first_byte_s < self._clocks.total_s else "total"
        if self.alarm is not None and not self.alarm.expired():
            self.alarm.reschedule(self.sent_at + min(self._clocks.first_byte_s, self._clocks.total_s))

    def next_read_by(self) -> float:
        """Loop time in s by which the next bytes must be there."""
        now = self._loop.time()
        idle_at = now + self._clocks.idle_s
        total_at = (now if self.sent_at is None else self.sent_at) + self._clocks.total_s
        self._clock = "idle" if idle_at < total_at else "total"
        return min(idle_at, total_at)

    def timeout(self) -> Failure:
        """The running clock ran out."""
        kind = FailureKind.UNREACHABLE if self.sent_at is None else FailureKind.TIMEOUT
        return call_failure(kind, self._clock)


def call_failure(kind: FailureKind, code: str, status: int | None = None) -> Failure:
    """A failure of the road to the provider; `code` is one of SENTENCES."""
    return Failure(kind, f"{SENTENCES[code]}.", status=status, code=code)
