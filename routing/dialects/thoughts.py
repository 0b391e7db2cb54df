"""Reasoning in messages: read from what a caller sends back, in the forms of OpenRouter and DeepSeek.

`reasoning_details` holds what must return unchanged (signatures, encrypted blocks); `reasoning_content` and `reasoning`
are its plain text, or all there is.
"""

from collections.abc import Mapping
from typing import Any

from routing.dialects.parts import Notes, Reasoning, drop

PLAIN = "plain"
_KINDS = frozenset({"text", "summary", "encrypted"})


def read_reasoning(message: Mapping[str, Any], where: str, notes: Notes) -> list[Reasoning]:
    """The thoughts of an assistant's message, in order; the plain text only where the details do not hold it."""
    details = message.get("reasoning_details")
    read = _details(details, f"{where}.reasoning_details", notes) if details else []
    told = "".join(part.text for part in read if part.text)
    for key in ("reasoning_content", "reasoning"):
        text = message.get(key)
        if not isinstance(text, str) or not text or text == told:
            continue
        if told or read:
            drop(notes, f"{where}.{key}", "reasoning_details are what goes back")
        else:
            read, told = [Reasoning(PLAIN, f"{where}.{key}", text=text)], text
    return read


def _details(details: Any, where: str, notes: Notes) -> list[Reasoning]:
    if not isinstance(details, list):
        drop(notes, where, "reasoning_details must be a list")
        return []
    read = [_detail(detail, f"{where}[{place}]", notes) for place, detail in enumerate(details)]
    return [part for part in read if part is not None]


def _detail(detail: Any, where: str, notes: Notes) -> Reasoning | None:
    kind = str(detail.get("type", "")).removeprefix("reasoning.") if isinstance(detail, Mapping) else ""
    if kind not in _KINDS:
        drop(notes, where, "it is no detail of a known kind: reasoning.text, reasoning.summary, reasoning.encrypted")
        return None
    text = detail.get("summary" if kind == "summary" else "text")
    return Reasoning(
        kind=kind,
        field=where,
        text=text if isinstance(text, str) else None,
        signature=_word(detail, "signature"),
        data=_word(detail, "data"),
        format=_word(detail, "format"),
    )


def _word(detail: Mapping[str, Any], key: str) -> str | None:
    value = detail.get(key)
    return value if isinstance(value, str) else None
