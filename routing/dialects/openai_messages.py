"""Fits a conversation to an accent and a model: roles, names, thoughts, tool calls with their results.

A message that needs no change stays the caller's own object, which is what most are.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from routing.dialects.accents import BLANK
from routing.dialects.gemini_models import SIGNED, UNSIGNED, family_named
from routing.dialects.openai_content import content_of, is_blank, promoted, text_part
from routing.dialects.openai_draft import NO_FIELD, Draft, Refused
from routing.dialects.openai_thinking import is_thinking_off

Message = Mapping[str, Any]

PLAIN = frozenset({"role", "content"})
"""Fields of a message that nothing needs to be done about, when its content is text."""
NULLABLE = frozenset(
    {
        "tool_calls",
        "function_call",
        "refusal",
        "audio",
        "name",
        "annotations",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "cache_control",
    }
)
"""Fields that SDKs send back as null from the answer that they had: the same as absent, and refused by some APIs."""
NO_THOUGHTS = "the provider's API takes no earlier reasoning"
NO_MARKS = "the provider's API has no prompt-cache marks"
FOREIGN_CALL = "the model demands a signed call: one that says that another model made it"
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def fit_messages(draft: Draft) -> None:
    """The whole conversation. Raises Refused for a call or a result that lacks its other half, or what can't go."""
    messages: Sequence[Message] = draft.body["messages"]
    check_halves(messages)
    fitted: list[Message] = []
    pictures: list[Any] = []
    demands = _demanded_thoughts(draft)
    for place, message in enumerate(messages):
        if pictures and message.get("role") != "tool":
            fitted.append({"role": "user", "content": pictures})
            pictures = []
        if isinstance(message.get("content"), str) and message.keys() <= PLAIN:
            made = _with_role(draft, message)
        else:
            result = message.get("role") == "tool"
            lean = promoted(draft, f"messages[{place}]", message, pictures) if result else message
            made = _fitted(draft, place, lean)
        fitted.append(made if not demands else _with_thoughts(draft, demands, place, made))
    if pictures:
        fitted.append({"role": "user", "content": pictures})
    if draft.accent.has_signatures and family_named(draft.upstream, draft.model.id).demands_signatures:
        _sign(draft, fitted)
    _mark_prefill(draft, fitted)
    draft.body["messages"] = fitted


def check_halves(messages: Sequence[Message]) -> None:
    """Every call must be followed by its results, and every result answer a call: all APIs refuse the rest with 400."""
    waiting: dict[str, str] = {}
    for place, message in enumerate(messages):
        if message.get("role") == "tool":
            if waiting.pop(str(message.get("tool_call_id")), None) is None:
                raise Refused(f"messages[{place}].tool_call_id", "no call right before it has this id")
            continue
        if waiting:
            break
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, Mapping):
                waiting[str(call.get("id"))] = f"messages[{place}].tool_calls[{number}]"
    if waiting:
        raise Refused(next(iter(waiting.values())), "the messages after it hold no result of this call")


def _with_role(draft: Draft, message: Message) -> Message:
    if message["role"] == "developer" and not draft.accent.has_developer:
        return {**message, "role": "system"}
    return message


def _fitted(draft: Draft, place: int, message: Message) -> Message:
    where = f"messages[{place}]"
    message = _with_role(draft, message)
    made = {name: part for name, part in message.items() if part is not None or name not in NULLABLE}
    _fit_marks(draft, where, made)
    if "content" in made:
        made["content"] = content_of(draft, where, message)
    if made["role"] == "assistant":
        _fit_answer(draft, where, made)
    if "tool_call_id" in made:
        made["tool_call_id"] = wire_id(draft.accent.call_ids, made["tool_call_id"])
    return made


def _fit_marks(draft: Draft, where: str, made: dict[str, Any]) -> None:
    if "cache_control" in made and not draft.accent.has_cache_marks:
        del made["cache_control"]
        draft.told(f"{where}.cache_control", "dropped", NO_MARKS)
    if "name" in made and made["role"] != "function" and not draft.accent.has_names:
        del made["name"]
        draft.told(f"{where}.name", "dropped", NO_FIELD)


def _fit_answer(draft: Draft, where: str, made: dict[str, Any]) -> None:
    """An earlier answer of the model, as callers send it back."""
    accent = draft.accent
    if "audio" in made and not accent.has_refusals:
        raise Refused(f"{where}.audio", "the sound of an earlier answer lies with the provider that made it")
    if made.get("annotations") == []:
        del made["annotations"]
    elif "annotations" in made:
        del made["annotations"]
        draft.told(f"{where}.annotations", "dropped", "annotations are part of answers only")
    if "refusal" in made and not accent.has_refusals:
        refusal = made.pop("refusal")
        if is_blank(made.get("content")):
            made["content"] = refusal
            draft.told(f"{where}.refusal", "changed", "the provider's API has no refusals: it is sent as text")
        else:
            draft.told(f"{where}.refusal", "dropped", NO_FIELD)
    _fit_thoughts(draft, where, made)
    if isinstance(made.get("tool_calls"), list):
        made["tool_calls"] = [
            _call(draft, f"{where}.tool_calls[{number}]", call) for number, call in enumerate(made["tool_calls"])
        ]


def _fit_thoughts(draft: Draft, where: str, made: dict[str, Any]) -> None:
    accent = draft.accent
    if "reasoning_details" in made and not accent.has_reasoning_details:
        del made["reasoning_details"]
        draft.told(f"{where}.reasoning_details", "dropped", NO_THOUGHTS)
    for name in ("reasoning_content", "reasoning"):
        if name not in made or name == accent.thoughts:
            continue
        thoughts = made.pop(name)
        if not accent.thoughts or not isinstance(thoughts, str):
            draft.told(f"{where}.{name}", "dropped", NO_THOUGHTS)
        elif accent.thoughts != "content":
            if made.setdefault(accent.thoughts, thoughts) != thoughts:
                draft.told(f"{where}.{name}", "dropped", f"{accent.thoughts} is given, too, and is the provider's own")
        elif thoughts:
            content = made.get("content")
            parts = content if isinstance(content, list) else [] if is_blank(content) else [text_part(content)]
            thinking = {"type": "thinking", "thinking": [text_part(thoughts)]}
            made["content"] = parts if thinking in parts[:1] else [thinking, *parts]


def _demanded_thoughts(draft: Draft) -> str:
    """Which messages must bring thoughts back now: calls, all, or empty."""
    demands, body = draft.accent.demands_thoughts, draft.body
    if not demands or is_thinking_off(draft) or draft.model.has_reasoning is False:
        return ""
    has_calls = any(message.get("tool_calls") for message in body["messages"])
    return demands if has_calls or (demands == "all" and body.get("tools")) else ""


def _with_thoughts(draft: Draft, demands: str, place: int, message: Message) -> Message:
    """An answer whose thoughts did not come back, from another model or a client that forgets them, with blank ones."""
    field = draft.accent.thoughts
    is_demanded = message["role"] == "assistant" and (demands == "all" or message.get("tool_calls"))
    if not is_demanded or message.get(field):
        return message
    reason = "the provider's API demands the thoughts of earlier answers while the model thinks, and none came: blank"
    draft.told(f"messages[{place}].{field}", "added", reason)
    return {**message, field: BLANK}


def _call(draft: Draft, where: str, call: Any) -> Any:
    """A call as the wire wants it. The arguments are the caller's own text, byte for byte."""
    if not isinstance(call, Mapping):
        return call
    if call.get("type") == "custom" and not draft.accent.has_custom_tools:
        raise Refused(where, "the provider's API has no custom tools")
    changes: dict[str, Any] = {}
    if "type" not in call:
        changes["type"] = "function"
    made_id = wire_id(draft.accent.call_ids, call.get("id"))
    if made_id != call.get("id"):
        changes["id"] = made_id
    function = call.get("function")
    if isinstance(function, Mapping) and isinstance(function.get("arguments"), Mapping):
        changes["function"] = {**function, "arguments": msgspec.json.encode(function["arguments"]).decode()}
    if "extra_content" in call and not draft.accent.has_signatures:
        draft.told(f"{where}.extra_content", "dropped", NO_THOUGHTS)
        call = {name: part for name, part in call.items() if name != "extra_content"}
    return {**call, **changes} if changes else call


def wire_id(pattern: str, call_id: Any) -> Any:
    """An id that the provider takes: the caller's own, else nine letters and digits that always follow from it.

    The answer names new calls only, so nothing has to be mapped back.

    >>> wire_id("[A-Za-z0-9]{9}", "a1B2c3D4e"), len(wire_id("[A-Za-z0-9]{9}", "call_1"))
    ('a1B2c3D4e', 9)
    """
    if not pattern or not isinstance(call_id, str) or _pattern(pattern).fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:16], "big")
    return "".join(LETTERS[number // 62**power % 62] for power in range(9))


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


def _sign(draft: Draft, messages: list[Message]) -> None:
    """Calls behind the user's last words that came without a signature say that another model made them."""
    maker, key = SIGNED
    begin = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    for place in range(begin + 1, len(messages)):
        calls = messages[place].get("tool_calls")
        if not isinstance(calls, list) or not calls:
            continue
        first = calls[0]
        if not isinstance(first, Mapping) or first.get("extra_content"):
            continue
        signed = {**first, "extra_content": {maker: {key: UNSIGNED}}}
        messages[place] = {**messages[place], "tool_calls": [signed, *calls[1:]]}
        draft.told(f"messages[{place}].tool_calls[0].extra_content", "added", FOREIGN_CALL)


def _mark_prefill(draft: Draft, messages: list[Message]) -> None:
    """A last message of the assistant is to be continued; some APIs want that said."""
    field, last = draft.accent.prefill, messages[-1]
    if field and last["role"] == "assistant" and not last.get("tool_calls"):
        messages[-1] = {field: True, **last}
