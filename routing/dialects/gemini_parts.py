"""Writes typed turns as Gemini's contents: parts, function calls with their signatures, results as objects."""

import re
from collections.abc import Iterable
from typing import Any, assert_never
from urllib.parse import urlsplit

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.arguments import object_of
from routing.dialects.gemini_models import SIGNED, UNSIGNED, Family
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
from routing.dialects.turns import ASSISTANT, USER, Turn

Block = dict[str, Any]

THOUGHTS = "google-gemini-v1"
"""`format` of a reasoning detail that is Gemini's."""
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
"""Of a function (wire-formats 2.6 case 17)."""
IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
"""By the API's page on images; GIF is not among them."""
SOUNDS = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}
"""By the API's page on sound."""
PDF = "application/pdf"
RESOLUTIONS = {"low": "LOW", "high": "HIGH", "original": "ULTRA_HIGH"}
"""`mediaResolution` by OpenAI's detail."""
BY_SUFFIX = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".pdf": PDF,
    **{f".{name}": mime for name, mime in SOUNDS.items()},
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpg",
    ".mov": "video/mov",
    ".avi": "video/avi",
    ".flv": "video/x-flv",
    ".webm": "video/webm",
    ".wmv": "video/wmv",
    ".3gp": "video/3gpp",
}
"""What an address holds: the wire must be told."""
YOUTUBE = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
"""Addresses of videos that every model takes, and that need no type (ai.google.dev/gemini-api/docs/video-understanding,
2026-12-01)."""
NO_MARKS = "this wire keeps the beginnings of prompts by itself, and takes no marks for it"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


class PartWriter:
    """Writes the parts of one request and gathers notes."""

    def __init__(self, model: Model, family: Family, notes: Notes) -> None:
        self._model = model
        self._family = family
        self._notes = notes

    def unmarked(self, mark: CacheMark | None) -> None:
        """Note that a cache mark is left out."""
        if mark is not None:
            drop(self._notes, mark.field, NO_MARKS)

    def texts(self, parts: Iterable[Text]) -> list[Block]:
        """Text parts."""
        return [self._content(part) for part in parts]

    def contents(self, turns: tuple[Turn, ...]) -> list[Block]:
        """All turns. Raises CannotCarry for a part that this wire or model has no form for."""
        current = _current(turns)
        contents = [self._said(turn, is_current=place > current) for place, turn in enumerate(turns)]
        return [content for content in contents if content["parts"]]

    def _said(self, turn: Turn, *, is_current: bool) -> Block:
        if turn.role != ASSISTANT:
            return {"role": "user", "parts": self._heard(turn.parts)}
        parts: list[Block] = []
        signatures: list[str] = []
        calls = 0
        for part in turn.parts:
            match part:
                case Reasoning():
                    self._thought(part, parts, signatures)
                case Text():
                    signed = {"thoughtSignature": signatures.pop(0)} if signatures else {}
                    parts.append({**self._content(part), **signed})
                case ToolCall():
                    parts += _carriers(signatures)
                    parts.append(self._call(part, is_first=calls == 0 and is_current))
                    calls += 1
                case _:
                    cannot(part.field, "only the user can say this on this wire")
        return {"role": "model", "parts": parts + _carriers(signatures)}

    def _heard(self, parts: tuple[Part, ...]) -> list[Block]:
        """A user's parts: results first, then what they could not hold, then the rest."""
        results: list[Block] = []
        promoted: list[Block] = []
        rest: list[Block] = []
        for part in parts:
            match part:
                case ToolResult():
                    results.append(self._result(part, promoted))
                case Text() | Image() | Audio() | File():
                    rest.append(self._content(part))
                case _:
                    cannot(part.field, "only the model can say this on this wire")
        return [*results, *promoted, *rest]

    def _thought(self, thought: Reasoning, parts: list[Block], signatures: list[str]) -> None:
        signature = thought.signature or thought.data
        if thought.format != THOUGHTS or not signature or not _BASE64.fullmatch(signature):
            drop(self._notes, thought.field, "thoughts go back only to the maker that signed them")
        elif thought.text:
            parts.append({"text": thought.text, "thought": True, "thoughtSignature": signature})
        else:
            signatures.append(signature)

    def _call(self, call: ToolCall, *, is_first: bool) -> Block:
        self.unmarked(call.cache)
        function: Block = {"name": wire_name(call.name, call.field), "args": object_of(call, self._notes)}
        if self._family.has_call_ids:
            function = {"id": call.id, **function}
        part: Block = {"functionCall": function}
        signature = self._signature(call)
        if signature is None and is_first and self._family.demands_signatures:
            reason = "the model demands a signed call: one that says that another model made it"
            self._notes.append(Adaptation(f"{call.field}.extra_content", "added", reason))
            signature = UNSIGNED
        return part if signature is None else {**part, "thoughtSignature": signature}

    def _signature(self, call: ToolCall) -> str | None:
        maker, key = SIGNED
        found: str | None = None
        for name, extra in call.extra_content.items():
            signature = extra.get(key) if name == maker and isinstance(extra, dict) and len(extra) == 1 else None
            if isinstance(signature, str) and _BASE64.fullmatch(signature):
                found = signature
            else:
                drop(self._notes, f"{call.field}.extra_content.{name}", "it is no signature of this maker")
        return found

    def _result(self, result: ToolResult, promoted: list[Block]) -> Block:
        self.unmarked(result.cache)
        texts = [part.text for part in result.content if isinstance(part, Text)]
        told: Any = texts if len(texts) > 1 else "".join(texts)
        response: Block = {
            "name": wire_name(result.name, result.field),
            "response": {"error" if result.is_error else "result": told},
        }
        if self._family.has_call_ids:
            response = {"id": result.call_id, **response}
        inner = self._result_media(result, promoted)
        return {"functionResponse": {**response, "parts": inner} if inner else response}

    def _result_media(self, result: ToolResult, promoted: list[Block]) -> list[Block]:
        inner: list[Block] = []
        for part in result.content:
            block = self._content(part)
            if isinstance(part, Text):
                continue
            if self._family.takes_media_in_results and not isinstance(part, Audio):
                inner.append(block)
            else:
                reason = "a function's result can't hold this for the model: it follows as the user's"
                self._notes.append(Adaptation(part.field, "changed", reason))
                promoted.append(block)
        return inner

    def _content(self, part: Content) -> Block:
        self.unmarked(part.cache)
        match part:
            case Text():
                return {"text": part.text}
            case Image():
                return self._image(part)
            case Audio():
                return self._audio(part)
            case File():
                return self._file(part)
        assert_never(part)

    def _image(self, image: Image) -> Block:
        if self._model.has_vision is False:
            cannot(image.field, "the model takes no images")
        block = self._source(image.field, image.url, image.mime, image.data)
        if image.url is None and image.mime not in IMAGES:
            cannot(image.field, "this wire takes PNG, JPEG, WebP, HEIC and HEIF images only")
        if image.detail in (None, "auto"):
            return block
        if not self._family.takes_media_in_results or image.detail not in RESOLUTIONS:
            drop(self._notes, f"{image.field}.image_url.detail", "the model has no such level of detail")
            return block
        return {**block, "mediaResolution": {"level": f"MEDIA_RESOLUTION_{RESOLUTIONS[image.detail]}"}}

    def _audio(self, sound: Audio) -> Block:
        if self._model.has_audio is False:
            cannot(sound.field, "the model takes no sound")
        mime = SOUNDS.get(sound.format.lower())
        if mime is None:
            cannot(sound.field, f"this wire takes sound as {', '.join(sorted(SOUNDS))}")
        return {"inlineData": {"mimeType": mime, "data": sound.data}}

    def _file(self, file: File) -> Block:
        if file.file_id is not None:
            cannot(file.field, "a file id means nothing to another provider; send file_data")
        mime = file.mime or _mime_of(file.url or file.filename or "") or ""
        allowed = {
            PDF: self._model.has_pdf,
            **dict.fromkeys(IMAGES, self._model.has_vision),
            **dict.fromkeys(SOUNDS.values(), self._model.has_audio),
        }.get(mime, mime.startswith(("text/", "video/")))
        if allowed is False:
            cannot(file.field, f"the model takes no files of type {mime[:60] or 'unknown'}")
        if file.filename:
            drop(self._notes, f"{file.field}.file.filename", "this wire tells the model no names of files")
        return self._source(file.field, file.url, mime, file.data)

    def _source(self, field: str, url: str | None, mime: str | None, data: str | None) -> Block:
        if url is None:
            return {"inlineData": {"mimeType": mime, "data": data}}
        told = _mime_of(url) or mime
        if url.startswith(YOUTUBE):
            return {"fileData": {"fileUri": url}}
        can = self._family.takes_urls and url.startswith("https://")
        if not can and not (self._family.takes_buckets and url.startswith("gs://")):
            cannot(field, "the model fetches nothing from this address; send the data itself")
        if told is None:
            cannot(field, "this wire must be told what the address holds, and its name does not say; send the data")
        return {"fileData": {"fileUri": url, "mimeType": told}}


def wire_name(name: str, field: str) -> str:
    """A function's name as the wire takes it. Raises CannotCarry when it is too long."""
    wire = escaped(name, NAME)
    return wire if wire is not None else cannot(field, "the function's name is empty or too long for this wire")


def signed(signature: str) -> dict[str, Any]:
    """`extra_content` of a call that has to come back with its signature."""
    maker, key = SIGNED
    return {maker: {key: signature}}


def _current(turns: tuple[Turn, ...]) -> int:
    """Where the current turn begins: the last words of the user's. Only calls behind it must be signed."""
    said = (p for p, turn in enumerate(turns) if turn.role == USER and any(not _is_result(part) for part in turn.parts))
    return max(said, default=-1)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResult)


def _carriers(signatures: list[str]) -> list[Block]:
    """Signatures that came on no text of their own come back on empty ones, as the API sends them in streams."""
    carriers = [{"text": "", "thoughtSignature": signature} for signature in signatures]
    signatures.clear()
    return carriers


def _mime_of(address: str) -> str | None:
    try:
        path = urlsplit(address).path.lower()
    except ValueError:  # no address at all
        return None
    return next((mime for suffix, mime in BY_SUFFIX.items() if path.endswith(suffix)), None)
