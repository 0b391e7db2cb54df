"""Puts the deltas of one streamed choice together: text, refusal, tool calls, log-probabilities."""

from collections.abc import Mapping
from typing import Any

import msgspec

from routing.dialects.errors import UNREADABLE
from routing.dialects.openai_shape import (
    LogprobParts,
    is_present,
    joined_logprobs,
    official_finish,
    split_content,
)


class FunctionDelta(msgspec.Struct, frozen=True):
    """A piece of a function call. Arguments are a string at OpenAI, at some servers the object itself."""

    name: str | None = None
    arguments: Any = None


class ToolDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None
    extra_content: Any = None


class MessageDelta(msgspec.Struct, frozen=True):
    """A piece of the message; reasoning goes by two names."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    annotations: Any = None
    audio: Any = None
    tool_calls: list[ToolDelta] | None = None
    function_call: FunctionDelta | None = None


class ChoiceDelta(msgspec.Struct, frozen=True):
    """What one chunk adds to one choice."""

    index: int | None = None
    delta: MessageDelta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


_logprob_parts = msgspec.json.Decoder(LogprobParts)


class Call(msgspec.Struct):
    """One function call in the making."""

    id: str = ""
    name: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    extra_content: Any = None

    def add(self, function: FunctionDelta | None) -> bool:
        """Returns whether arguments or a name came. The name is taken once: some servers repeat it in each piece."""
        if function is None:
            return False
        self.name = self.name or function.name or ""
        arguments = function.arguments
        if arguments is None:
            return bool(function.name)
        self.arguments.append(arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode())
        return bool(function.name) or bool(arguments)

    def shown(self) -> dict[str, str]:
        """The `function` object; arguments stay the model's own text."""
        return {"name": self.name, "arguments": "".join(self.arguments)}


class ToolCalls:
    """Tool calls by index, also for servers that leave the index out or give all calls the same one."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.place = 0
        """Of the call that the last piece belonged to: the index that an official chunk gives it."""
        self._by_index: dict[int, Call] = {}

    def add(self, delta: ToolDelta) -> bool:
        """Returns whether it brought content."""
        call = self._find(delta)
        if call is None:
            call = Call()
            self.calls.append(call)
        if delta.index is not None:
            self._by_index[delta.index] = call
        self.place = next(place for place, known in enumerate(self.calls) if known is call)
        call.id = call.id or delta.id or ""
        call.extra_content = delta.extra_content or call.extra_content
        return call.add(delta.function)

    def _find(self, delta: ToolDelta) -> Call | None:
        """The call that a piece belongs to; None when it starts a new one."""
        starts = bool(delta.function and delta.function.name)
        if delta.index is not None:
            call = self._by_index.get(delta.index)
        elif delta.id:
            call = next((call for call in self.calls if call.id == delta.id), None)
            # An id never seen, without a name, is a server that makes up an id for each piece.
            return call if call or starts or not self.calls else self.calls[-1]
        else:
            call = self.calls[-1] if self.calls else None
            return None if starts and call and call.name else call
        is_other = bool(call and delta.id and call.id and delta.id != call.id)
        return None if is_other and starts else call

    def shown(self) -> list[dict[str, Any]]:
        """`message.tool_calls`; a call that never got an id gets its place as one, for the tool's answer to name."""
        return [
            {
                "id": call.id or f"call_{place}",
                "type": "function",
                "function": call.shown(),
                **({"extra_content": call.extra_content} if call.extra_content else {}),
            }
            for place, call in enumerate(self.calls)
        ]


class Details:
    """`reasoning_details`, whose pieces come with the index of the whole that they belong to (OpenRouter's form)."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def add(self, pieces: Any) -> None:
        """Text and summaries grow, everything else is taken as it came last: a signature comes at the end."""
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, Mapping):
                continue
            key = (piece.get("type"), piece.get("index"))
            whole = next((item for item in self.items if (item.get("type"), item.get("index")) == key), None)
            if whole is None or key[1] is None or piece.get("type") == "reasoning.encrypted":
                self.items.append(dict(piece))
                continue
            for name, part in piece.items():
                grows = name in {"text", "summary"} and isinstance(part, str) and isinstance(whole.get(name), str)
                whole[name] = whole[name] + part if grows else whole.get(name) if part is None else part


class ChoiceParts:
    """One choice, growing."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.places: list[int] = []
        """Of the tool calls in the last delta."""
        self._tools = ToolCalls()
        self._function: Call | None = None
        self._texts: dict[str, list[str]] = {}
        self._logprobs: dict[str, list[msgspec.Raw]] = {}
        self._has_odd_logprobs = False
        self._details = Details()
        self._annotations: list[Any] = []
        self._audio: dict[str, Any] = {}

    def add(self, choice: ChoiceDelta) -> bool:
        """Returns whether it brought text, reasoning or a part of a tool call."""
        self.finish_reason = choice.finish_reason or self.finish_reason
        if is_present(choice.logprobs):
            self._add_logprobs(choice.logprobs)
        delta = choice.delta
        self.places = []
        if delta is None:
            return False
        content, thoughts = split_content(delta.content)
        has_content = self._add_text("content", content)
        has_content |= self._add_text("refusal", delta.refusal)
        has_content |= self._add_text(
            "reasoning_content", delta.reasoning_content or delta.reasoning or thoughts or None
        )
        has_content |= self._add_rest(delta)
        for tool in delta.tool_calls or ():
            has_content |= self._tools.add(tool)
            self.places.append(self._tools.place)
        if delta.function_call is not None:
            self._function = self._function or Call()
            has_content |= self._function.add(delta.function_call)
        return has_content

    @property
    def text(self) -> str:
        """The content so far."""
        return self._joined("content") or ""

    @property
    def refusal(self) -> str | None:
        """The refusal so far; None when the model did not refuse."""
        return self._joined("refusal") or None

    @property
    def official_finish(self) -> str:
        """OpenAI's word for how it ended."""
        return official_finish(self.finish_reason or "")

    @property
    def has_tool_calls(self) -> bool:
        """It calls at least one function."""
        return bool(self._tools.calls) or self._function is not None

    @property
    def has_sound(self) -> bool:
        """It is spoken."""
        return bool(self._audio)

    @property
    def is_whole(self) -> bool:
        """Each call names its function."""
        calls = [*self._tools.calls, *([self._function] if self._function else [])]
        return all(call.name for call in calls)

    @property
    def token_logprobs(self) -> tuple[float, ...] | None:
        """Natural logs of the answer's tokens; None when a chunk had them in another shape: a part is not the whole."""
        return None if self._has_odd_logprobs else joined_logprobs(self._logprobs.get("content", []))

    def shown(self) -> dict[str, Any]:
        """A choice of a chat.completion; `refusal` and `logprobs` are null when absent, as the official types want."""
        message: dict[str, Any] = {"role": "assistant", "content": self._joined("content"), "refusal": self.refusal}
        if (reasoning := self._joined("reasoning_content")) is not None:
            message["reasoning_content"] = reasoning
        if self._details.items:
            message["reasoning_details"] = self._details.items
        if self._annotations:
            message["annotations"] = self._annotations
        if self._audio:
            message["audio"] = self._audio
        if self._tools.calls:
            message["tool_calls"] = self._tools.shown()
        if self._function is not None:
            message["function_call"] = self._function.shown()
        return {"message": message, "finish_reason": self.official_finish, "logprobs": self._shown_logprobs()}

    def _shown_logprobs(self) -> dict[str, Any] | None:
        if self._has_odd_logprobs or not self._logprobs:
            return None
        shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self._logprobs))
        return shown

    def _add_rest(self, delta: MessageDelta) -> bool:
        """What few answers have. Sound is content; thoughts that can't be read are not."""
        self._details.add(delta.reasoning_details)
        if isinstance(delta.annotations, list):
            self._annotations += delta.annotations
        if not isinstance(delta.audio, Mapping):
            return False
        for name, part in delta.audio.items():
            grows = name in {"data", "transcript"} and isinstance(part, str) and name in self._audio
            self._audio[name] = self._audio[name] + part if grows else part
        return bool(delta.audio.get("data") or delta.audio.get("transcript"))

    def _add_text(self, name: str, text: str | None) -> bool:
        if text is None:
            return False
        self._texts.setdefault(name, []).append(text)
        return bool(text)

    def _joined(self, name: str) -> str | None:
        pieces = self._texts.get(name)
        return None if pieces is None else "".join(pieces)

    def _add_logprobs(self, raw: msgspec.Raw) -> None:
        try:
            parts = _logprob_parts.decode(raw)
        except UNREADABLE:
            self._has_odd_logprobs = True
            return
        for name, tokens in (("content", parts.content), ("refusal", parts.refusal)):
            if tokens:
                self._logprobs.setdefault(name, []).extend(tokens)
