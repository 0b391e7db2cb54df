"""Fits the content of messages to an accent and a model: which parts can be carried, and in which form."""

from collections.abc import Mapping
from typing import Any

from routing.catalog import Model
from routing.dialects.openai_draft import Draft, Refused

Message = Mapping[str, Any]

SENSES: Mapping[str, tuple[str, str]] = {
    "image_url": ("has_vision", "the model can't see images"),
    "input_audio": ("has_audio", "the model can't hear"),
    "audio_url": ("has_audio", "the model can't hear"),
    "file": ("has_pdf", "the model can't read documents"),
    "document_url": ("has_pdf", "the model can't read documents"),
    "file_url": ("has_pdf", "the model can't read documents"),
}
"""By type of part: the model's ability to take it, and what to say of one that is known not to have it."""
MARKS = {"cache_control": "has_cache_marks", "prompt_cache_breakpoint": "has_cache_breakpoints"}
SEE_BELOW = "(The attachment follows in the next message.)"


def content_of(draft: Draft, where: str, message: Message) -> Any:
    """A message's content for the wire. Raises Refused for a part that can't be carried."""
    content = message.get("content")
    if not isinstance(content, list):
        return content
    parts = [_part(draft, f"{where}.content[{place}]", part) for place, part in enumerate(content)]
    return joined(parts) if message.get("role") in draft.accent.string_roles and all(map(_is_text, parts)) else parts


def joined(parts: list[Any]) -> str:
    """Text parts as one string, a line for each, as vLLM renders them (its `--chat-template-content-format string`)."""
    texts = (part.get("text") for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _part(draft: Draft, where: str, part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    part = _without_marks(draft, where, part)
    kind = str(part.get("type"))
    if kind == "text":
        return part
    if kind == "refusal":
        return part if draft.accent.has_refusals else _refusal(draft, where, part)
    check_sense(draft, where, kind)
    if kind == "image_url" and not draft.accent.fetches_images and not _url(part).startswith("data:"):
        raise Refused(where, "the provider's API fetches no images: give it as a data URI")
    if kind == "file" and draft.accent.files_as_documents:
        return _document(where, part)
    return part


def _without_marks(draft: Draft, where: str, part: Message) -> Message:
    strange = [mark for mark, ability in MARKS.items() if mark in part and not getattr(draft.accent, ability)]
    for mark in strange:
        if part[mark] is not None:
            draft.told(f"{where}.{mark}", "dropped", "the provider's API has no such prompt-cache marks")
    return {name: value for name, value in part.items() if name not in strange} if strange else part


def check_sense(draft: Draft, where: str, kind: str) -> None:
    """Raises Refused when the wire has no such part, or the model is known not to take it."""
    if kind not in draft.accent.parts:
        raise Refused(where, f"the provider's API takes no parts of type {kind[:40]}")
    if kind in SENSES:
        ability, reason = SENSES[kind]
        if ability == "has_pdf" and draft.accent.reads_documents:
            return
        if has(draft.model, ability) is False:
            raise Refused(where, reason)


def has(model: Model, ability: str) -> bool | None:
    """An ability by its field's name; None is unknown."""
    value: bool | None = getattr(model, ability)
    return value


def _refusal(draft: Draft, where: str, part: Message) -> Message:
    draft.told(where, "changed", "the provider's API has no refusals: it is sent as text")
    return text_part(part.get("refusal"))


def _document(where: str, part: Message) -> Message:
    """`file` as `document_url`. A file that was uploaded to OpenAI can't be read from there."""
    file = part.get("file")
    file = file if isinstance(file, Mapping) else {}
    if not isinstance(file.get("file_data"), str):
        raise Refused(where, "an uploaded file lies with the provider that it was uploaded to: give its data")
    name = {"document_name": file["filename"]} if "filename" in file else {}
    return {"type": "document_url", "document_url": file["file_data"], **name}


def promoted(draft: Draft, where: str, message: Message, pictures: list[Any]) -> Message:
    """A tool's result without what is no text: chat completions take only text there, so the rest follows as a user's.

    Moves those parts to `pictures`.
    """
    content = message.get("content")
    if not isinstance(content, list) or all(_is_text(part) for part in content):
        return message
    kept: list[Any] = []
    for place, part in enumerate(content):
        if _is_text(part):
            kept.append(part)
            continue
        pictures.append(_part(draft, f"{where}.content[{place}]", part))
        draft.told(
            f"{where}.content[{place}]", "changed", "results are text on this wire: it follows as a user message"
        )
    return {**message, "content": kept or [text_part(SEE_BELOW)]}


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text"


def _url(part: Message) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else ""


def text_part(text: Any) -> dict[str, Any]:
    """A content part."""
    return {"type": "text", "text": text}


def is_blank(content: Any) -> bool:
    """Neither text nor parts."""
    return content is None or content in ("", [])
