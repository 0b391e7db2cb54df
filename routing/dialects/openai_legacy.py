"""Says legacy functions as the tools that replaced them, for providers whose API never had functions."""

from collections.abc import Mapping
from typing import Any

from routing.dialects.openai_draft import Draft, Refused

Message = Mapping[str, Any]

AS_TOOLS = "the provider's API has tools instead: a call comes back as tool_calls"


def modernise(draft: Draft) -> None:
    """`functions`, `function_call` and what the conversation holds of them. Raises Refused for half a call."""
    if "functions" in draft.accent.takes:
        return
    body = draft.body
    functions = body.pop("functions", None)
    choice = body.pop("function_call", None)
    if isinstance(functions, list) and functions:
        body["tools"] = [
            *(body.get("tools") or ()),
            *({"type": "function", "function": function} for function in functions),
        ]
        if choice is not None:
            named = {"type": "function", "function": choice} if isinstance(choice, Mapping) else choice
            body["function_call"] = choice
            draft.say("function_call", {"tool_choice": named}, "what replaced it")
        draft.told("functions", "changed", AS_TOOLS)
    if any(message.get("function_call") or message["role"] == "function" for message in body["messages"]):
        body["messages"] = _messages(body["messages"])


def _messages(messages: list[Message]) -> list[Message]:
    modern: list[Message] = []
    waiting: tuple[str, Any] | None = None
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message["role"] == "function":
            if waiting is None or waiting[1] != message.get("name"):
                raise Refused(f"{where}.name", "no call of a function of that name is right before it")
            said = {**message, "role": "tool", "tool_call_id": waiting[0], "content": message.get("content") or ""}
            modern.append({name: part for name, part in said.items() if name != "name"})
            waiting = None
            continue
        if waiting is not None:
            raise Refused(f"messages[{place - 1}].function_call", "the message after it is no result of this call")
        call = message.get("function_call")
        if not call:
            modern.append(message)
            continue
        waiting = (f"call_{place}", call.get("name") if isinstance(call, Mapping) else None)
        rest = {name: part for name, part in message.items() if name != "function_call"}
        modern.append({**rest, "tool_calls": [{"id": waiting[0], "type": "function", "function": call}]})
    if waiting is not None:
        raise Refused(f"messages[{len(messages) - 1}].function_call", "no result of this call follows it")
    return modern
