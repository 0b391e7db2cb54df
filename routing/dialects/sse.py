"""Reads server-sent events from bytes that may be cut anywhere; no I/O.

The rules are those of the WHATWG HTML standard, section 9.2.6, with two additions that a reader of foreign bytes needs:
a cap on the size of one event, and `flush` for the last event of a stream that ends without its blank line.
"""

import re

import msgspec

MAX_EVENT_BYTES = 8_000_000
"""One event. A whole tool call or image part in one chunk fits; an endless line does not."""

_BOM = b"\xef\xbb\xbf"
# On bytes, before decoding: str.splitlines() also cuts at U+2028 and U+0085, which JSON may hold inside a string.
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(msgspec.Struct, frozen=True):
    """One event: its name (`message` when the stream gives none) and its data lines joined by LF, not yet decoded."""

    name: str
    data: bytes


class Oversized(msgspec.Struct, frozen=True):
    """An event grew beyond the cap. The reader has stopped: everything that follows is dropped."""

    limit_bytes: int


class EventReader:
    r"""Feed it bytes as they come; it returns the events completed by them.

    >>> EventReader().feed(b": hello\n\ndata: 1\n\n")
    [Event(name='message', data=b'1')]

    Weakness: `id` and `retry` are not kept, because a provider's stream cannot be resumed.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit_bytes = max_event_bytes
        self._head: bytes | None = b""
        """Bytes held back while they may still be a byte order mark; None once that is settled."""
        self._line: list[bytes] = []
        """Pieces of the line that has not ended. Joined once at its end: joining at each feed would be quadratic."""
        self._data: list[bytes] = []
        self._name = ""
        self._size_bytes = 0
        self._skips_lf = False
        """The last byte was CR: an LF that comes first now belongs to it."""
        self._stopped = False

    def feed(self, data: bytes) -> list[Event | Oversized]:
        """Take the next bytes. Returns what they completed, in order; empty after an `Oversized`."""
        if self._head is not None:
            data = self._past_mark(data)
        if self._skips_lf and data:
            self._skips_lf = False
            data = data.removeprefix(b"\n")
        if self._stopped or not data:
            return []
        self._skips_lf = data.endswith(b"\r")
        return self._take(_LINE_END.split(data))

    def flush(self) -> Event | None:
        """The stream ended: the event that still lacks its blank line, if it has data.

        The standard drops it. Whoever asks must know for sure that it is whole (`[DONE]` is).
        """
        line = b"".join(self._line)
        if line:
            self._field(line)
        self._line = []
        return None if self._stopped else self._dispatch()

    def _past_mark(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _take(self, pieces: list[bytes]) -> list[Event | Oversized]:
        """All pieces but the last end a line."""
        events: list[Event | Oversized] = []
        rest = pieces.pop()
        for piece in pieces:
            if self._grew(len(piece)):
                return [*events, self._stop()]
            line = b"".join((*self._line, piece)) if self._line else piece
            self._line = []
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if rest:
            if self._grew(len(rest)):
                return [*events, self._stop()]
            self._line.append(rest)
        return events

    def _grew(self, count: int) -> bool:
        self._size_bytes += count
        return self._size_bytes > self._limit_bytes

    def _stop(self) -> Oversized:
        self._stopped = True
        self._line, self._data = [], []
        return Oversized(self._limit_bytes)

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._name = value.removeprefix(b" ").decode(errors="replace")
        elif not self._data and not self._name:
            self._size_bytes = 0  # a comment between events (a keep-alive) is no part of any event

    def _dispatch(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name, self._size_bytes = [], "", 0
        return Event(name or "message", b"\n".join(data)) if data else None
