"""`tokenyard results`: the answers of a batch in input order, for a file or the next command in a pipe."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from cli.client import errors, visit
from cli.up import Var
from cli.wording import counted
from cli.yard import YardError

ENDED_BADLY = frozenset({"failed", "expired", "cancelled"})
NOT_ENDED = frozenset({"queued", "running"})
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
"""What would break a line of two columns apart."""


def results(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="Its id, batch_...")],
    out: Annotated[Path | None, typer.Option(help="Write to this file, which appears when it is whole.")] = None,
    text: Annotated[bool, typer.Option("--text", help="custom_id, a tab and the answer's text, a line a job.")] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only the jobs that ended without an answer: failed, expired, cancelled.")
    ] = False,
    var: Var = None,
) -> None:
    r"""Write a batch's jobs in input order as NDJSON, finished or not: custom_id, state, result or error, cost.

    Example: tokenyard results batch_01kxw3d7j4e8tbq5v6n2m9r0ya --text | head -3

    In --text a backslash, tab or line break inside an answer is written as \\, \t, \n or \r.
    """
    with visit(var) as client:
        tally = _Tally(text, failed)
        lines = tally.chosen(client.raw_lines(f"/v1/batches/{batch}/results"))
        if out is None:
            _to_stdout(lines)
        else:
            written = _to_file(lines, out)
            errors.print(f"{counted(written, 'line')} in {out}", markup=False, soft_wrap=True)
        tally.tell()


class _Tally:
    """Picks and shapes the lines, and remembers what they do not say by themselves."""

    def __init__(self, is_text: bool, only_failed: bool) -> None:
        self._is_text = is_text
        self._only_failed = only_failed
        self._open = 0
        self._without = 0
        self._chosen = 0

    def chosen(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The lines to write, each with its LF."""
        for raw in lines:
            line = msgspec.json.decode(raw)
            self._open += line["state"] in NOT_ENDED
            if self._only_failed and line["state"] not in ENDED_BADLY:
                continue
            self._chosen += 1
            self._without += line["result"] is None
            yield (as_text(line) if self._is_text else raw) + b"\n"

    def tell(self) -> None:
        """Say on stderr what a reader might take for the whole."""
        if self._open:
            has, says = ("has", "its line says so") if self._open == 1 else ("have", "their lines say so")
            note = f"; {says}" if not self._is_text and not self._only_failed else ""
            errors.print(f"{counted(self._open, 'job')} {has} not ended yet{note}.")
        if self._only_failed and not self._chosen:
            errors.print("No job of this batch has ended without an answer.")
        if self._is_text and not self._only_failed and self._without:
            errors.print(f"{counted(self._without, 'line')} without an answer; leave --text out to see why.")


def as_text(line: dict[str, Any]) -> bytes:
    """Two columns: custom_id (the job's id if it has none) and the answer's text, empty if there is none."""
    return f"{escaped(line['custom_id'] or line['id'])}\t{escaped(answer_of(line['result']) or '')}".encode()


def answer_of(result: Any) -> str | None:
    """The text of a chat completion; None if it has none, as one that only calls tools."""
    try:
        content = result["choices"][0]["message"]["content"]
    except (TypeError, KeyError, IndexError):
        return None
    return content if isinstance(content, str) else None


def escaped(text: str) -> str:
    """On one line and in one column."""
    return text.translate(ESCAPES)


def _to_stdout(lines: Iterator[bytes]) -> None:
    """Write bytes, past rich and the terminal's width. A reader that has had enough (`| head`) is no error."""
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Else the interpreter flushes once more at its exit, and complains.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        raise YardError(f"standard output: {error.strerror}") from error


def _to_file(lines: Iterator[bytes], path: Path) -> int:
    """Write beside the file and move it there at the end; returns the lines written. Raises YardError."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            written = _write(lines, file)
        part.replace(path)
    except OSError as error:
        raise YardError(f"{path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return written


def _write(lines: Iterator[bytes], file: BinaryIO) -> int:
    written = 0
    for line in lines:
        file.write(line)
        written += 1
    return written
