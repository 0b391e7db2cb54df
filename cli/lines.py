"""Reads a file of jobs as the lines of a bulk submit: our lines, OpenAI batch lines, or plain text."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from cli.yard import YardError

BOM = b"\xef\xbb\xbf"
PIECE_BYTES = 262_144
"""Lines are sent in pieces of about this size: one at a time would be one write each."""


class Format(StrEnum):
    """What a file's lines are."""

    JOBS = 'jobs, one {"request": ...} a line'
    OPENAI = "an OpenAI batch file"
    TEXT = "plain text, each line one user message"


class Prompt(msgspec.Struct, frozen=True):
    """What a line of plain text is wrapped in."""

    model: str = "auto"
    system: str | None = None


class Lines:
    """A file's lines, read once from the first to the last. `count` is right when all have been read.

    >>> import io
    >>> lines = Lines(io.BytesIO(b"Where is my card?"))
    >>> lines.format.name, b"".join(lines.pieces(Prompt()))[:40]
    ('TEXT', b'{"custom_id":"line-1","request":{"model"')
    """

    def __init__(self, file: BinaryIO, *, is_text: bool = False) -> None:
        """Look at the first line that is not blank. Raises YardError if there is none."""
        self._numbered = enumerate(file, start=1)
        self._first = next(((number, line) for number, line in self._numbered if _bare(line, number)), None)
        if self._first is None:
            raise YardError("there is nothing in it: it has no line that is not blank")
        self.format = Format.TEXT if is_text else recognise(_bare(self._first[1], self._first[0]))
        self.count = 0

    def pieces(self, prompt: Prompt) -> Iterator[bytes]:
        """NDJSON for POST /v1/jobs/bulk. Raises YardError for plain text that is not UTF-8."""
        piece = bytearray()
        for line in self._wrapped(prompt) if self.format is Format.TEXT else self._as_they_are():
            piece += line
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)

    def _all(self) -> Iterable[tuple[int, bytes]]:
        assert self._first is not None
        return chain([self._first], self._numbered)

    def _as_they_are(self) -> Iterator[bytes]:
        """Blank lines stay, so that the API's line numbers are the file's."""
        assert self._first is not None
        yield b"\n" * (self._first[0] - 1)
        for number, line in self._all():
            bare = _bare(line, number)
            self.count += bool(bare)
            yield bare + b"\n"

    def _wrapped(self, prompt: Prompt) -> Iterator[bytes]:
        """`custom_id` is the line's number in the file, so that each answer can be laid beside its line."""
        system = [{"role": "system", "content": prompt.system}] if prompt.system is not None else []
        for number, line in self._all():
            bare = _bare(line, number)
            if not bare:
                continue
            try:
                content = bare.decode()
            except UnicodeDecodeError as error:
                raise YardError(
                    f"line {number} is not UTF-8 (byte {error.start + 1} of it); convert the file"
                ) from error
            messages = [*system, {"role": "user", "content": content}]
            self.count += 1
            request = {"model": prompt.model, "messages": messages}
            yield msgspec.json.encode({"custom_id": f"line-{number}", "request": request}) + b"\n"


def recognise(line: bytes) -> Format:
    """The format of a file with this first line. What begins like JSON is taken for JSON: the API names its faults."""
    try:
        tree: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Format.JOBS if line.startswith((b'{"', b"{ ")) else Format.TEXT
    if not isinstance(tree, dict):
        return Format.TEXT
    return Format.OPENAI if "body" in tree and "request" not in tree else Format.JOBS


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, or standard input for `-`. Raises YardError."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise YardError(f"{path}: {error.strerror}") from error
    with file:
        yield file


def _bare(line: bytes, number: int) -> bytes:
    """Without the ends that only a file has: white space around it, and a mark of the byte order at its start."""
    return (line.removeprefix(BOM) if number == 1 else line).strip(b" \t\r\n")
