"""Takes an upload in: a multipart form whose file goes to a bounded spool while it comes."""

import tempfile
from collections.abc import AsyncIterator
from typing import IO, TYPE_CHECKING, Self

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.problems import Code, Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_FIELD_BYTES = 1_000
MOST_PARTS = 10
LONGEST_NAME = 255
SPOOL_BYTES = 4_000_000
"""In memory; beyond it the file lies on disk."""
_SHAPE = 'send multipart/form-data with the parts "purpose" and "file"'


class Upload:
    """What a form said: its fields, and its file in a spool. Close it, or use `with`."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """None: there was no file."""
        self.size = 0
        """The file's, in bytes."""
        self.content: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 -- closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.content.close()


class _Form:
    """Follows a multipart body as it is parsed, and fills an upload."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.has_ended = False
        self._parts = 0
        self._header = self._value = b""
        self._name = ""
        self._is_file = False
        self._text = b""

    def callbacks(self) -> "MultipartCallbacks":
        """For the parser."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_end": self._whole,
        }

    def _begin(self) -> None:
        self._name, self._is_file, self._text = "", False, b""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Problem(Code.INVALID_VALUE, f"the form has more than {MOST_PARTS} parts; {_SHAPE}")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        header, value = self._header.lower(), self._value
        self._header = self._value = b""
        if header != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._is_file = self._name == "file" and b"filename" in options
        if self._is_file:
            if self._upload.filename is not None:
                raise Problem(Code.INVALID_VALUE, "file: send one file at a time", "file")
            self._upload.filename = options[b"filename"].decode(errors="replace").replace("\0", "")[-LONGEST_NAME:]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._upload.size += end - start
            self._upload.content.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MOST_FIELD_BYTES:
            raise Problem(Code.INVALID_VALUE, f"{self._name[:100]}: too long; {_SHAPE}")

    def _end(self) -> None:
        if not self._is_file:
            self._upload.fields[self._name] = self._text.decode(errors="replace")

    def _whole(self) -> None:
        self.has_ended = True


async def take_in(request: Request, upload: Upload, most_bytes: int) -> None:
    """Read the form into `upload`. Raises Problem: another content type, a broken form, a file over the limit."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(Code.INVALID_VALUE, _SHAPE, "file")
    form = _Form(upload)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in _chunks(request, most_bytes):
            parser.write(chunk)
    except FormParserError as error:
        raise Problem(Code.INVALID_VALUE, f"the form cannot be read ({error}); {_SHAPE}", "file") from error
    if not form.has_ended:
        raise Problem(Code.INVALID_VALUE, f"the form ended in the middle; {_SHAPE}", "file")
    if upload.filename is None:
        raise Problem(Code.MISSING_FIELD, f"file: this part is required; {_SHAPE}", "file")


async def _chunks(request: Request, most_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise Problem(Code.BODY_TOO_LARGE, f"the file is over {most_bytes:,} bytes; split it", "file")
        yield chunk
