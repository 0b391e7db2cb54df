"""Tells a conversation's tool calls and their results as text, for models that know neither."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.dialects.parts import cannot

Message = Mapping[str, Any]

CALLS_TOLD = "the model has no tools: its calls are told as the JSON in which it makes them now"
RESULT_TOLD = "the model has no tools: the result is told in a message of the user"
_RESULT_KEYS = frozenset({"role", "content", "tool_call_id", "name"})
_CALL_KEYS = frozenset({"tool_calls", "function_call"})


def has_calls(messages: Sequence[Message]) -> bool:
    """Whether any message makes a call or holds the result of one."""
    return any(
        message["role"] in ("tool", "function") or message.get("tool_calls") or message.get("function_call")
        for message in messages
    )


def retold(messages: Sequence[Message]) -> tuple[list[Message], list[Adaptation]]:
    """The conversation without calls, message by message at the same places, and what was rewritten.

    Raises CannotCarry for a result without its call, and for calls that are none.
    """
    told: list[Message] = []
    changes: list[Adaptation] = []
    labels: dict[str, str] = {}
    """How the results of the calls so far are headed, by the id of the call."""
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message["role"] in ("tool", "function"):
            told.append(_result(message, where, labels))
            changes.append(Adaptation(where, "changed", RESULT_TOLD))
        elif message["role"] == "assistant" and (calls := _calls(message, where)):
            labels |= _labels(calls)
            told.append(_turn(message, calls))
            changes.append(Adaptation(where, "changed", CALLS_TOLD))
        else:
            told.append(message)
    return told, changes


class _Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


def _calls(message: Message, where: str) -> list[_Call]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        cannot(f"{where}.tool_calls", "tool_calls must be a list")
    made = []
    for place, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        made.append(_call(function, call, f"{where}.tool_calls[{place}]"))
    if message.get("function_call"):
        legacy = message["function_call"]
        made.append(_call(legacy, {"id": _legacy_id(legacy)}, f"{where}.function_call"))
    return made


def _call(function: Any, call: Any, where: str) -> _Call:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        cannot(where, "only calls of functions can be carried")
    arguments = function.get("arguments")
    return _Call(str(call.get("id")), function["name"], arguments if isinstance(arguments, str) else "")


def _legacy_id(function: Any) -> str:
    """Legacy results name the function, not the call."""
    return f"function {function.get('name') if isinstance(function, Mapping) else None}"


def _labels(calls: Sequence[_Call]) -> dict[str, str]:
    if len(calls) == 1:
        return {calls[0].id: calls[0].name}
    return {call.id: f"{call.name} (call {place} of {len(calls)})" for place, call in enumerate(calls, 1)}


def _turn(message: Message, calls: Sequence[_Call]) -> Message:
    """The assistant's message, its calls in the form that it is asked for."""
    content = message.get("content")
    made = [{"name": call.name, "arguments": _arguments(call.arguments)} for call in calls]
    said = {"answer": content} if isinstance(content, str) and content else {}
    text = msgspec.json.encode({**said, "calls": made}).decode()
    parts = [*content, {"type": "text", "text": text}] if isinstance(content, list) else text
    return {**{key: value for key, value in message.items() if key not in _CALL_KEYS}, "content": parts}


def _arguments(text: str) -> Any:
    """As they are, to the byte; what is no JSON becomes a string of the JSON around it."""
    if not text.strip():
        return {}
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
    return msgspec.Raw(text.encode())


def _result(message: Message, where: str, labels: Mapping[str, str]) -> Message:
    is_legacy = message["role"] == "function"
    call = _legacy_id(message) if is_legacy else str(message.get("tool_call_id"))
    if call not in labels:
        cannot(f"{where}.{'name' if is_legacy else 'tool_call_id'}", "no call before it has that name or id")
    head = f"Result of {labels[call]}:"
    content = message.get("content")
    told: Any = [{"type": "text", "text": head}, *content] if isinstance(content, list) else f"{head}\n{content or ''}"
    rest = {key: value for key, value in message.items() if key not in _RESULT_KEYS}
    return {"role": "user", "content": told, **rest}
