"""Tool arguments for wires that have them as an object: as they are written, so that numbers keep every digit."""

import msgspec

from jobs.chat import Adaptation
from routing.dialects.errors import UNREADABLE
from routing.dialects.parts import Notes, ToolCall

EMPTY = msgspec.Raw(b"{}")


def object_of(call: ToolCall, notes: Notes) -> msgspec.Raw:
    """The arguments of a call as a JSON object; text that is none goes as the text of one, with a note."""
    text = call.arguments.strip()
    if not text:
        return EMPTY
    try:
        if isinstance(msgspec.json.decode(text), dict):
            return msgspec.Raw(text.encode())
    except (*UNREADABLE, UnicodeError):
        pass
    field = f"{call.field}.function.arguments" if "tool_calls" in call.field else f"{call.field}.arguments"
    notes.append(Adaptation(field, "changed", "they are no JSON object: sent as the text of one"))
    return msgspec.Raw(msgspec.json.encode({"arguments": call.arguments}))
