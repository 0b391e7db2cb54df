"""The parts of a message as typed values, read from OpenAI's content parts; each knows its path in the request.

A part that no wire but OpenAI's knows, or that is not what it says, raises `CannotCarry`; `routing.dialects.turns.read`
turns that into `Unsupported`. What can go without loss is noted as an `Adaptation`.
"""

import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec

from jobs.chat import Adaptation
from routing.dialects.base import Unsupported


class CannotCarry(Exception):
    """Inside the readers only: the request holds something that no typed part stands for."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.unsupported = Unsupported(field, reason)


class CacheMark(msgspec.Struct, frozen=True):
    """All of the prompt up to and with this part may be kept in a prompt cache."""

    field: str
    """Path of the mark itself: `messages[0].content[1].cache_control`."""
    ttl: str | None = None
    """As the caller wrote it: "5m", "1h" (Anthropic), "30m", "12h" (OpenAI); None: the provider's usual life."""


class Text(msgspec.Struct, frozen=True):
    """Words; never blank, except where a tool's result is."""

    text: str
    field: str
    cache: CacheMark | None = None


class Image(msgspec.Struct, frozen=True):
    """A picture: either `url` or both of `data` (base64) and `mime`."""

    field: str
    url: str | None = None
    data: str | None = None
    mime: str | None = None
    """What the bytes are, where they tell it; otherwise what the caller declared."""
    detail: str | None = None
    """auto, low, high, original; None when the caller left it out."""
    cache: CacheMark | None = None


class Audio(msgspec.Struct, frozen=True):
    """Sound, base64."""

    data: str
    format: str
    """wav, mp3 and the like: a name, no MIME type."""
    field: str
    cache: CacheMark | None = None


class File(msgspec.Struct, frozen=True):
    """A file: one of `data` (base64, with `mime`), `url`, and `file_id` (an id at OpenAI)."""

    field: str
    data: str | None = None
    mime: str | None = None
    """From the data URI, else from the bytes or the name; None when nothing tells it."""
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    cache: CacheMark | None = None


class ToolCall(msgspec.Struct, frozen=True):
    """The assistant called a tool."""

    number: int
    """Its place among all calls of the conversation, from 0. Ids may repeat between turns; numbers do not."""
    id: str
    """As sent; `call_<number>` for the legacy `function_call`, which has none."""
    name: str
    arguments: str
    """The JSON text as sent, byte for byte; may be empty or broken."""
    field: str
    extra_content: Mapping[str, Any] = {}
    """What another maker put beside the call to have it back: `{"google": {"thought_signature": ...}}`."""
    cache: CacheMark | None = None


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool gave back."""

    number: int
    """The number of the call that it answers."""
    call_id: str
    name: str
    """Of the tool, taken from the call."""
    content: tuple["Text | Image | Audio | File", ...]
    """Empty for an empty result."""
    field: str
    is_error: bool | None = None
    """None when the caller did not say."""
    cache: CacheMark | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """Thoughts of the model that came back with its message (`reasoning_details`, else `reasoning_content`)."""

    kind: str
    """text, summary, encrypted (`reasoning.*` without the head), or plain: text without format or signature."""
    field: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None
    """Whose they are: `anthropic-claude-v1`, `google-gemini-v1`... None when not told."""


Content: TypeAlias = Text | Image | Audio | File
Part: TypeAlias = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning

Notes: TypeAlias = list[Adaptation]

BLANK = "it holds nothing but white space, which this wire refuses"
UNKNOWN_KEY = "this wire has no place for it"
_DATA_URI = re.compile(r"data:(?P<mime>[^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
_HEADS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "JVBERi0": "application/pdf"}
"""How the base64 of a kind of file begins: PNG, JPEG, GIF and PDF by their magic numbers."""
_MIME_BY_NAME = {".pdf": "application/pdf", ".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv"}
_EMPTY: tuple[Any, ...] = (None, [], {})


def cannot(field: str, reason: str) -> NoReturn:
    """Raises CannotCarry."""
    raise CannotCarry(field, reason)


def drop(notes: Notes, field: str, reason: str) -> None:
    """Note that something was left out."""
    notes.append(Adaptation(field=field, action="dropped", reason=reason))


def note_stream_options(options: object, notes: Notes) -> None:
    """Note what a wire whose streams always tell their usage does not do of `stream_options`."""
    for key, value in options.items() if isinstance(options, Mapping) else ():
        field = f"stream_options.{key}"
        if key == "include_usage" and value is False:
            notes.append(Adaptation(field, "changed", "this wire's streams always tell their usage"))
        elif key != "include_usage" and value:
            drop(notes, field, "this wire's streams have no such option")


def drop_unknown(given: Mapping[str, Any], known: frozenset[str], where: str, notes: Notes) -> None:
    """Note each key that nobody here reads, unless its value is null or empty: then nothing is lost."""
    if given.keys() <= known:
        return
    for key in given.keys() - known:
        if given[key] not in _EMPTY:
            drop(notes, f"{where}.{key}", UNKNOWN_KEY)


def read_mark(given: Mapping[str, Any], where: str, notes: Notes) -> CacheMark | None:
    """The cache mark on a message, part or tool: Anthropic's `cache_control` or OpenAI's `prompt_cache_breakpoint`."""
    for key, sort in (("cache_control", "type"), ("prompt_cache_breakpoint", "mode")):
        mark = given.get(key)
        if mark is None:
            continue
        field = f"{where}.{key}".removeprefix(".")
        if not isinstance(mark, Mapping) or mark.get(sort) not in ("ephemeral", "explicit"):
            drop(notes, field, "it is no cache mark of a known kind")
            continue
        ttl = mark.get("ttl")
        return CacheMark(field, ttl if isinstance(ttl, str) else None)
    return None


def read_content(content: Any, where: str, notes: Notes) -> list[Content]:
    """Parts of a message's content; blank text is left out with a note, an empty string or null without one."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content, where)] if _has_words(content, where, notes) else []
    if not isinstance(content, list):
        cannot(where, "content must be a string, a list of parts, or null")
    parts = (_read_part(part, f"{where}[{place}]", notes) for place, part in enumerate(content))
    return [part for part in parts if part is not None]


def text_only(parts: list[Content]) -> list[Text]:
    """The same parts where only text can stand. Raises CannotCarry for the first that is none."""
    for part in parts:
        if not isinstance(part, Text):
            cannot(part.field, "only text can stand here")
    return [part for part in parts if isinstance(part, Text)]


def _has_words(text: str, where: str, notes: Notes) -> bool:
    if text and not text.isspace():
        return True
    drop(notes, where, BLANK)
    return False


def _read_part(part: Any, where: str, notes: Notes) -> Content | None:
    if not isinstance(part, Mapping):
        cannot(where, "a content part must be an object with a type")
    kind = part.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        cannot(where, f"this wire has no content part of type {str(kind)[:40]!r}")
    return read(part, where, notes)


_MARKS = ("type", "cache_control", "prompt_cache_breakpoint")
_TEXT_KEYS = frozenset([*_MARKS, "text"])
_REFUSAL_KEYS = frozenset([*_MARKS, "refusal"])
_IMAGE_KEYS = frozenset([*_MARKS, "image_url"])
_AUDIO_KEYS = frozenset([*_MARKS, "input_audio"])
_FILE_KEYS = frozenset([*_MARKS, "file"])


def _read_text(part: Mapping[str, Any], where: str, notes: Notes) -> Text | None:
    drop_unknown(part, _TEXT_KEYS, where, notes)
    text = _string(part, "text", where)
    mark = read_mark(part, where, notes)
    if _has_words(text, where, notes):
        return Text(text, where, mark)
    if mark is not None:
        drop(notes, mark.field, "the text that it marks is left out")
    return None


def _read_refusal(part: Mapping[str, Any], where: str, notes: Notes) -> Text | None:
    drop_unknown(part, _REFUSAL_KEYS, where, notes)
    return refusal_text(_string(part, "refusal", where), where, notes)


def refusal_text(text: str, where: str, notes: Notes) -> Text | None:
    """What the model once refused with: other wires know it as text only."""
    if not _has_words(text, where, notes):
        return None
    notes.append(Adaptation(where, "changed", "this wire knows no refusal in a request: it goes back as text"))
    return Text(text, where)


def _read_image(part: Mapping[str, Any], where: str, notes: Notes) -> Image:
    drop_unknown(part, _IMAGE_KEYS, where, notes)
    given = part.get("image_url")
    given = {"url": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping):
        cannot(where, "image_url must be an object with a url")
    drop_unknown(given, frozenset({"url", "detail"}), f"{where}.image_url", notes)
    url, detail = _string(given, "url", f"{where}.image_url"), given.get("detail")
    mark, said = read_mark(part, where, notes), detail if isinstance(detail, str) else None
    if not url.startswith("data:"):
        return Image(where, url=url, detail=said, cache=mark)
    declared, data = _data_uri(url, f"{where}.image_url.url")
    mime = _sniffed(data)
    if mime is None or mime == declared:
        return Image(where, data=data, mime=declared, detail=said, cache=mark)
    reason = f"the bytes are {mime}, not {declared[:60] or 'unnamed'}"
    notes.append(Adaptation(f"{where}.image_url.url", "changed", reason))
    return Image(where, data=data, mime=mime, detail=said, cache=mark)


def _read_audio(part: Mapping[str, Any], where: str, notes: Notes) -> Audio:
    drop_unknown(part, _AUDIO_KEYS, where, notes)
    given = part.get("input_audio")
    if not isinstance(given, Mapping):
        cannot(where, "input_audio must be an object with data and format")
    field = f"{where}.input_audio"
    drop_unknown(given, frozenset({"data", "format"}), field, notes)
    data, sort = _string(given, "data", field), _string(given, "format", field)
    if data.startswith("data:"):
        _, data = _data_uri(data, f"{field}.data")
    return Audio(data, sort, where, read_mark(part, where, notes))


def _read_file(part: Mapping[str, Any], where: str, notes: Notes) -> File:
    drop_unknown(part, _FILE_KEYS, where, notes)
    given, field = part.get("file"), f"{where}.file"
    if not isinstance(given, Mapping):
        cannot(where, "file must be an object with file_data or file_id")
    drop_unknown(given, frozenset({"file_data", "file_id", "filename"}), field, notes)
    named = given.get("filename")
    name = named if isinstance(named, str) else None
    mark = read_mark(part, where, notes)
    if given.get("file_data") is None:
        return File(where, file_id=_string(given, "file_id", field), filename=name, cache=mark)
    content = _string(given, "file_data", field)
    if content.startswith(("https://", "http://")):
        return File(where, url=content, mime=_mime_by_name(name or content), filename=name, cache=mark)
    declared, data = _data_uri(content, f"{field}.file_data") if content.startswith("data:") else ("", content)
    mime = _sniffed(data) or declared or _mime_by_name(name or "")
    return File(where, data=data, mime=mime, filename=name, cache=mark)


def _read_media(part: Mapping[str, Any], where: str, notes: Notes) -> File:
    """`video_url` and `audio_url`, as OpenRouter, Together and vLLM have them: an address, or the data itself."""
    kind = part["type"]
    drop_unknown(part, frozenset([*_MARKS, kind]), where, notes)
    given = part.get(kind)
    given = {"url": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping):
        cannot(where, f"{kind} must be an object with a url")
    drop_unknown(given, frozenset({"url"}), f"{where}.{kind}", notes)
    url, mark = _string(given, "url", f"{where}.{kind}"), read_mark(part, where, notes)
    if url.startswith("data:"):
        declared, data = _data_uri(url, f"{where}.{kind}.url")
        return File(where, data=data, mime=declared, cache=mark)
    return File(where, url=url, mime=MEDIA[kind], cache=mark)


MEDIA = {"video_url": "video/mp4", "audio_url": "audio/mp3"}
"""What an address is taken to hold when its name does not say."""
_READERS = {
    "video_url": _read_media,
    "audio_url": _read_media,
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
}


def _string(given: Mapping[str, Any], key: str, where: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        cannot(f"{where}.{key}", f"{key} must be a string")
    return value


def _data_uri(url: str, where: str) -> tuple[str, str]:
    """MIME type and base64 of `data:image/png;base64,...`."""
    found = _DATA_URI.match(url)
    if found is None:
        cannot(where, "a data URI must hold base64: data:<type>;base64,<data>")
    return found["mime"].lower(), url[found.end() :]


def _sniffed(data: str) -> str | None:
    """MIME type by the first bytes; None when they are of no kind that we know."""
    if data.startswith("UklGR") and data[11:16] == "XRUJQ":  # RIFF, four bytes of size, WEBP
        return "image/webp"
    return next((mime for head, mime in _HEADS.items() if data.startswith(head)), None)


def _mime_by_name(name: str) -> str | None:
    return next((mime for end, mime in _MIME_BY_NAME.items() if name.lower().endswith(end)), None)
