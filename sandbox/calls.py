"""The call log: what the provider did and billed, as one JSON line an event, there even after `kill -9`.

`begin` is written when a call is accepted, `end` before the first byte of its reply leaves; `refused` stands for
a call that was turned away as invalid. A call is billed when it has an `end` with tokens: its answer was computed,
also if the client has gone or the road broke afterwards. A `begin` without an `end` was cut by the death
of this process and is not billed. Status and in-band errors bill nothing.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

_CHUNK_BYTES = 65_536


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. Tokens are the billed ones, all choices together."""

    event: Literal["begin", "end", "refused"]
    time_s: float
    """Epoch seconds."""
    call: str
    """The completion's id; ties `end` to `begin`."""
    request_id: str | None
    """The caller's `x-client-request-id`."""
    model: str | None = None
    stream: bool = False
    status: int | None = None
    """HTTP status; None for begin, and for a reply that never comes."""
    label: str | None = None
    p: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    faults: tuple[str, ...] = ()


class CallLog:
    """Appends lines to a file, one system call each; without a path, to a nameless temporary file."""

    def __init__(self, path: Path | None = None) -> None:
        flags = os.O_APPEND | os.O_CREAT | os.O_RDWR
        if path is None:
            with tempfile.TemporaryFile() as nameless:
                self._descriptor = os.dup(nameless.fileno())
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, flags, 0o644)

    def write(self, line: CallLine) -> None:
        """Hand the line to the operating system. Raises OSError when the disk is full."""
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")

    def read(self) -> Iterator[bytes]:
        """Everything up to now, in chunks."""
        place = 0
        while chunk := os.pread(self._descriptor, _CHUNK_BYTES, place):
            place += len(chunk)
            yield chunk

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)


def now_s() -> float:
    """Epoch seconds, to the tenth of a millisecond."""
    return round(time.time(), 4)
