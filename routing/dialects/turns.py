"""An OpenAI conversation as typed turns: what every wire but OpenAI's own has to know, worked out once.

`read` does the work that does not depend on the wire: messages of one role that follow each other become one turn,
results of parallel calls stand in the order of the calls and before the user's words, results without a call and calls
without a result are found, blank texts go with a note, and the legacy functions are read as tools. A dialect walks the
turns and writes its own parts.

>>> request = ChatRequest.parse(b'{"messages": [{"role": "system", "content": "Be brief."}, '
...                             b'{"role": "user", "content": "Hi"}, {"role": "user", "content": "Who?"}]}')
>>> conversation = read(request)
>>> [text.text for text in conversation.systems], [part.text for part in conversation.turns[0].parts]
(['Be brief.'], ['Hi', 'Who?'])
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation, ChatRequest
from routing.dialects.base import Unsupported
from routing.dialects.parts import (
    CacheMark,
    CannotCarry,
    Content,
    Notes,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    cannot,
    drop,
    drop_unknown,
    read_content,
    read_mark,
    refusal_text,
    text_only,
)
from routing.dialects.thoughts import read_reasoning

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


class Turn(msgspec.Struct, frozen=True):
    """All that one side says before the other speaks. Never empty.

    A user's turn holds tool results first, in the order of the calls, then texts, images, sound and files. An
    assistant's turn may hold reasoning, text and tool calls, several messages' in a row. A system turn (only in mid
    conversation: see `Conversation.folded`) holds texts.
    """

    role: str
    """user, assistant or system."""
    parts: tuple[Part, ...]


class Conversation(msgspec.Struct, frozen=True):
    """A request's messages, read."""

    systems: tuple[Text, ...]
    """System and developer texts from before the first turn, in order."""
    turns: tuple[Turn, ...]
    """Neighbours differ in role. May be empty (only system texts), may begin with the assistant, may end with it."""
    adaptations: tuple[Adaptation, ...] = ()
    """What was left out or changed by reading alone; the dialect adds its own."""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """All tool calls, in order: `calls[number]`."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, ToolCall))

    def folded(self) -> "Conversation":
        """For a wire without instructions in mid conversation: they become the user's text there, in `<system>` tags.

        The place is kept and the change noted; turns that come to stand side by side are merged.
        """
        if all(turn.role != SYSTEM for turn in self.turns):
            return self
        notes = list(self.adaptations)
        moved = [_as_user(turn, notes) if turn.role == SYSTEM else turn for turn in self.turns]
        return Conversation(self.systems, _merged(moved), tuple(notes))


FOLDED = "this wire takes no instructions in mid conversation: it goes as the user's text, in <system> tags"


def read(request: ChatRequest) -> Conversation | Unsupported:
    """The conversation of a request; never raises.

    Unsupported, with the path of the part, for what no other wire could take: a tool result without its call, a call
    without its result, a part of an unknown type, the id of an answer in sound.
    """
    reader = _Reader()
    try:
        for place, message in enumerate(request.messages):
            reader.add(message, f"messages[{place}]")
        reader.check_all_answered()
    except CannotCarry as stop:
        return stop.unsupported
    return Conversation(tuple(reader.systems), _merged(reader.turns), tuple(reader.notes))


_PLAIN_KEYS = frozenset({"role", "content", "name", "cache_control", "prompt_cache_breakpoint"})
_TOOL_KEYS = _PLAIN_KEYS | {"tool_call_id", "is_error"}
_ASSISTANT_KEYS = _PLAIN_KEYS | {
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
}
_CALL_KEYS = frozenset({"id", "type", "index", "function", "extra_content", "cache_control"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})
NAMELESS = "this wire has no names of participants"


class _Reader:
    """Reads message by message; holds what waits for its other half."""

    def __init__(self) -> None:
        self.notes: Notes = []
        self.systems: list[Text] = []
        self.turns: list[Turn] = []
        self._count = 0
        """Calls so far."""
        self._open: dict[int, ToolCall] = {}
        """Calls of the last assistant message that have no result yet, by number."""
        self._results: list[ToolResult] = []
        self._held: list[Turn] = []
        """Instructions that came between the results of parallel calls: they go behind the results."""

    def add(self, message: Mapping[str, Any], where: str) -> None:
        """Read one message. Raises CannotCarry."""
        role = message["role"]
        if role in {"tool", "function"}:
            self._add_result(message, where)
        elif role in {"system", "developer"}:
            self._add_system(message, where)
        else:
            self.check_all_answered()
            parts = self._assistant(message, where) if role == ASSISTANT else self._plain(message, where)
            self._append(role, _marked(parts, read_mark(message, where, self.notes), self.notes))

    def check_all_answered(self) -> None:
        """Raises CannotCarry for the first call that has no result."""
        for call in self._open.values():
            cannot(call.field, f"no tool message answers the call {call.id[:60]!r}")

    def _append(self, role: str, parts: Iterable[Part]) -> None:
        if gathered := tuple(parts):
            self.turns.append(Turn(role, gathered))

    def _plain(self, message: Mapping[str, Any], where: str) -> list[Content]:
        drop_unknown(message, _PLAIN_KEYS, where, self.notes)
        self._drop_name(message, where)
        parts = read_content(message.get("content"), f"{where}.content", self.notes)
        if message.get("content") in (None, "", []):
            drop(self.notes, where, "the message is empty")
        return parts

    def _add_system(self, message: Mapping[str, Any], where: str) -> None:
        parts = text_only(self._plain(message, where))
        marked = tuple(_marked(parts, read_mark(message, where, self.notes), self.notes))
        if self._open:
            self._held.append(Turn(SYSTEM, marked))
        elif self.turns:
            self._append(SYSTEM, marked)
        else:
            self.systems.extend(marked)

    def _assistant(self, message: Mapping[str, Any], where: str) -> list[Part]:
        drop_unknown(message, _ASSISTANT_KEYS, where, self.notes)
        self._drop_name(message, where)
        if message.get("audio") is not None:
            cannot(f"{where}.audio", "the id of an answer in sound means nothing to another provider")
        parts: list[Part] = [*read_reasoning(message, where, self.notes)]
        parts += text_only(read_content(message.get("content"), f"{where}.content", self.notes))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            text = refusal_text(refusal, f"{where}.refusal", self.notes)
            parts += [text] if text is not None else []
        parts += self._calls(message, where)
        if not parts and message.get("content") in (None, "", []):
            drop(self.notes, where, "the message is empty")
        return parts

    def _calls(self, message: Mapping[str, Any], where: str) -> list[ToolCall]:
        given = message.get("tool_calls") or []
        if not isinstance(given, list):
            cannot(f"{where}.tool_calls", "tool_calls must be a list")
        calls = [self._call(call, f"{where}.tool_calls[{place}]") for place, call in enumerate(given)]
        legacy = message.get("function_call")
        if legacy is not None:
            field = f"{where}.function_call"
            calls.append(self._call({"id": f"call_{self._count}", "function": legacy}, field))
        self._open = {call.number: call for call in calls}
        return calls

    def _call(self, call: Any, where: str) -> ToolCall:
        if not isinstance(call, Mapping) or call.get("type") not in ("function", None):
            cannot(where, "only calls of functions can be carried")
        drop_unknown(call, _CALL_KEYS, where, self.notes)
        function, named = call.get("function"), call.get("id")
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            cannot(where, "a call must name its function")
        if not isinstance(named, str) or not named:
            cannot(f"{where}.id", "a call must have an id, or its result cannot be told")
        drop_unknown(function, _FUNCTION_KEYS, f"{where}.function", self.notes)
        extra = call.get("extra_content")
        number, self._count = self._count, self._count + 1
        return ToolCall(
            number=number,
            id=named,
            name=function["name"],
            arguments=_arguments(function.get("arguments")),
            field=where,
            extra_content=extra if isinstance(extra, Mapping) else {},
            cache=read_mark(call, where, self.notes),
        )

    def _add_result(self, message: Mapping[str, Any], where: str) -> None:
        drop_unknown(message, _TOOL_KEYS, where, self.notes)
        call = self._answered(message, where)
        parts = read_content(message.get("content"), f"{where}.content", self.notes)
        told = message.get("is_error")
        result = ToolResult(
            number=call.number,
            call_id=call.id,
            name=call.name,
            content=tuple(parts),
            field=where,
            is_error=told if isinstance(told, bool) else None,
            cache=read_mark(message, where, self.notes),
        )
        self._results.append(result)
        del self._open[call.number]
        if not self._open:
            self._results.sort(key=_number)
            self._append(USER, self._results)
            self.turns += self._held
            self._results, self._held = [], []

    def _answered(self, message: Mapping[str, Any], where: str) -> ToolCall:
        """The call that a result answers: by id, or by name for the legacy role `function`."""
        key = "name" if message["role"] == "function" else "tool_call_id"
        wanted = message.get(key)
        for call in self._open.values():
            if wanted == (call.name if key == "name" else call.id):
                return call
        return cannot(f"{where}.{key}", "it answers no call of the assistant's message before it")

    def _drop_name(self, message: Mapping[str, Any], where: str) -> None:
        if message.get("name") is not None:
            drop(self.notes, f"{where}.name", NAMELESS)


def _number(result: ToolResult) -> int:
    return result.number


def _arguments(given: Any) -> str:
    if given is None or isinstance(given, str):
        return given or ""
    return msgspec.json.encode(given).decode()  # an object, as some servers send it


def _marked(parts: list[Any], mark: CacheMark | None, notes: Notes) -> list[Any]:
    """Put a message's cache mark on its last part."""
    if mark is None:
        return parts
    if not parts or isinstance(parts[-1], Reasoning):
        drop(notes, mark.field, "there is no part left that could bear it")
        return parts
    if parts[-1].cache is not None:
        drop(notes, mark.field, "the message's last part bears a mark of its own")
        return parts
    return [*parts[:-1], msgspec.structs.replace(parts[-1], cache=mark)]


def _as_user(turn: Turn, notes: Notes) -> Turn:
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Text):
            notes.append(Adaptation(part.field, "changed", FOLDED))
            parts.append(msgspec.structs.replace(part, text=f"<system>{part.text}</system>"))
    return Turn(USER, tuple(parts))


def _merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Neighbours of one role as one turn."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            merged[-1] = Turn(turn.role, merged[-1].parts + turn.parts)
        elif turn.parts:
            merged.append(turn)
    return tuple(merged)
