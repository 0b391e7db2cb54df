"""Writes typed turns as Anthropic's messages: content blocks, cleaned call ids, thoughts given back byte for byte."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, assert_never

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.arguments import object_of
from routing.dialects.names import escaped
from routing.dialects.parts import (
    Audio,
    CacheMark,
    Content,
    File,
    Image,
    Notes,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    cannot,
    drop,
)
from routing.dialects.turns import ASSISTANT, Turn

Block = dict[str, Any]

THOUGHTS = "anthropic-claude-v1"
"""`format` of a reasoning detail that is Anthropic's."""
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""Of a tool."""
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""By the SDK's `Base64ImageSourceParam`."""
PDF = "application/pdf"
MAX_MARKS = 4
"""Cache breakpoints in one request (wire-formats 2.6 case 31)."""
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_LIVES = {None: None, "5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}
"""Of a cache, by what the caller wrote; OpenAI's have no equal here."""


class BlockWriter:
    """Writes the parts of one request; gathers notes, and cache marks in the order in which the wire reads them."""

    def __init__(self, model: Model, notes: Notes) -> None:
        self._model = model
        self._notes = notes
        self._marked: list[tuple[Block, CacheMark]] = []
        self._ids: dict[int, str] = {}
        self._taken: set[str] = set()

    def bear(self, block: Block, mark: CacheMark | None) -> Block:
        """The block, remembered as one that a cache may end at. Call in the wire's order: tools, system, messages."""
        if mark is not None:
            self._marked.append((block, mark))
        return block

    def texts(self, parts: Iterable[Text]) -> list[Block]:
        """Text blocks."""
        return [self.bear({"type": "text", "text": part.text}, part.cache) for part in parts]

    def message(self, turn: Turn) -> Block:
        """One message. Raises CannotCarry for a part that this wire or model has no form for."""
        blocks = [block for part in turn.parts if (block := self._block(part)) is not None]
        return {"role": turn.role, "content": blocks}

    def set_marks(self, whole: CacheMark | None, messages: list[Block]) -> Block | None:
        """Put `cache_control` on the blocks: the last ones, each living as long as the wire allows there.

        `whole` is the mark of the request itself, by which the API marks the last block; it counts as one of the four,
        and comes last. Returns what is to stand for it; None where the last block bears a mark of its own.
        """
        most = MAX_MARKS - (whole is not None)
        for _, mark in self._marked[:-most]:
            drop(self._notes, mark.field, f"a request may bear {MAX_MARKS} cache marks: the last ones stay")
        is_short = False
        for block, mark in self._marked[-most:]:
            block["cache_control"] = self._life(mark, is_short=is_short)
            is_short |= block["cache_control"].get("ttl") != "1h"
        if whole is None:
            return None
        automatic = self._life(whole, is_short=is_short)
        last = messages[-1]["content"][-1] if messages and messages[-1]["content"] else {}
        if "cache_control" not in last:
            return automatic
        drop(self._notes, whole.field, "the last block bears a mark of its own")
        return None

    def _life(self, mark: CacheMark, *, is_short: bool) -> Block:
        """The mark as the wire has it: those that live longer must come first."""
        life = _LIVES.get(mark.ttl, "5m")
        life = "5m" if life == "1h" and is_short else life
        if mark.ttl is not None and life != mark.ttl:
            self._notes.append(Adaptation(f"{mark.field}.ttl", "changed", f"a cache can live {life} here"))
        return {"type": "ephemeral"} | ({} if life is None else {"ttl": life})

    def _block(self, part: Part) -> Block | None:
        match part:
            case ToolCall():
                return self._tool_use(part)
            case ToolResult():
                return self._tool_result(part)
            case Reasoning():
                return self._thinking(part)
            case Text() | Image() | Audio() | File():
                return self._content(part)
        assert_never(part)

    def _content(self, part: Content) -> Block:
        match part:
            case Text():
                block = {"type": "text", "text": part.text}
            case Image():
                block = self._image(part)
            case File():
                block = self._document(part)
            case Audio():
                cannot(part.field, "this wire takes no sound")
        return self.bear(block, part.cache)

    def _image(self, image: Image) -> Block:
        if self._model.has_vision is False:
            cannot(image.field, "the model takes no images")
        if image.detail not in (None, "auto"):
            drop(self._notes, f"{image.field}.image_url.detail", "this wire has no levels of detail")
        if image.url is not None:
            return {"type": "image", "source": {"type": "url", "url": image.url}}
        if image.mime not in IMAGES:
            cannot(image.field, "this wire takes JPEG, PNG, GIF and WebP images only")
        return {"type": "image", "source": {"type": "base64", "media_type": image.mime, "data": image.data}}

    def _document(self, file: File) -> Block:
        if file.file_id is not None:
            cannot(file.field, "a file id means nothing to another provider; send file_data")
        if file.mime == PDF or (file.url is not None and file.mime is None):
            if self._model.has_pdf is False:
                cannot(file.field, "the model takes no PDFs")
            source: Block = {"type": "url", "url": file.url}
            if file.url is None:
                source = {"type": "base64", "media_type": PDF, "data": file.data}
        elif file.data is not None and (file.mime or "").startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": _decoded(file)}
        else:
            cannot(file.field, "this wire takes PDFs and plain texts as files")
        titled = {"title": file.filename} if file.filename else {}
        return {"type": "document", "source": source, **titled}

    def _thinking(self, thought: Reasoning) -> Block | None:
        if thought.format == THOUGHTS and thought.kind == "text" and thought.signature:
            return {"type": "thinking", "thinking": thought.text or "", "signature": thought.signature}
        if thought.format == THOUGHTS and thought.kind == "encrypted" and thought.data:
            return {"type": "redacted_thinking", "data": thought.data}
        drop(self._notes, thought.field, "thoughts go back only to the maker that signed them")
        return None

    def _tool_use(self, call: ToolCall) -> Block:
        if call.extra_content:
            drop(self._notes, f"{call.field}.extra_content", "it belongs to another maker")
        name = wire_name(call.name, call.field)
        block = {
            "type": "tool_use",
            "id": self._id(call.number, call.id),
            "name": name,
            "input": object_of(call, self._notes),
        }
        return self.bear(block, call.cache)

    def _tool_result(self, result: ToolResult) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": self._id(result.number, result.call_id)}
        match result.content:
            case ():
                pass
            case (Text(text=text, cache=None),):
                block["content"] = text
            case several:
                block["content"] = [self._content(part) for part in several]
        if result.is_error is not None:
            block["is_error"] = result.is_error
        return self.bear(block, result.cache)

    def _id(self, number: int, told: str) -> str:
        """A call's id as the wire allows it, the same for the call and its result, used for no other call."""
        if number not in self._ids:
            clean = _ODD.sub("_", told)
            while clean in self._taken:
                clean = f"{clean}_{number}"
            self._taken.add(clean)
            self._ids[number] = clean
        return self._ids[number]


def wire_name(name: str, field: str) -> str:
    """A tool's name as the wire takes it. Raises CannotCarry when it is too long."""
    wire = escaped(name, NAME)
    return wire if wire is not None else cannot(field, "the tool's name is empty or too long for this wire")


def begins_with_thoughts(message: Block) -> bool:
    """The assistant's message opens with a thinking block, as models with a budget demand it in a tool loop."""
    content = message["content"]
    return bool(content) and content[0]["type"] in {"thinking", "redacted_thinking"}


def is_in_tool_loop(messages: list[Block]) -> bool:
    """The last message brings the results of tools."""
    last = messages[-1]["content"] if messages else []
    return len(messages) > 1 and messages[-2]["role"] == ASSISTANT and any(b["type"] == "tool_result" for b in last)


def _decoded(file: File) -> str:
    try:
        return base64.b64decode(file.data or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return cannot(file.field, "the file is no text in UTF-8")
