"""Reads the deltas of one streamed choice: what each adds to text, thoughts, tool calls, sound and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from routing.dialects.endings import spoken
from routing.dialects.errors import UNREADABLE
from routing.dialects.openai_clean import EMPTY_SOUND, clean_logprobs, sound_of
from routing.dialects.openai_face import Annotation, fits
from routing.dialects.openai_images import shown_images
from routing.dialects.openai_shape import checked_logprobs, is_present, split_content
from routing.dialects.stream_writer import Body, Call, Choice


class FunctionDelta(msgspec.Struct, frozen=True):
    """A piece of a function call. Arguments are a string at OpenAI, at some servers the object itself."""

    name: Any = None
    arguments: Any = None


class CustomDelta(msgspec.Struct, frozen=True):
    """A piece of a call of a custom tool, whose input is plain text."""

    name: Any = None
    input: Any = None


class ToolDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call. Leaves are of any type: an id that is a number is no reason to lose an answer."""

    index: Any = None
    id: Any = None
    type: Any = None
    function: FunctionDelta | None = None
    custom: CustomDelta | None = None
    extra_content: Any = None


class MessageDelta(msgspec.Struct, frozen=True):
    """A piece of the message; reasoning goes by two names."""

    role: Any = None
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    annotations: Any = None
    images: Any = None
    audio: Any = None
    tool_calls: list[ToolDelta] | None = None
    function_call: FunctionDelta | None = None


class ChoiceDelta(msgspec.Struct, frozen=True):
    """What one chunk adds to one choice."""

    index: Any = None
    delta: MessageDelta | None = None
    finish_reason: Any = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


MOST_LOOKS = 64
"""Times that the arguments of one call are looked at, whether they are whole already. It bounds the work."""


class Added(NamedTuple):
    """What a delta adds."""

    delta: Body
    tokens: Body | None
    """Log-probabilities."""
    is_same: bool
    """The provider's own delta says this and nothing else, if its chunk is of the official types."""


class ChoiceReader:
    """Reads the deltas of one choice into what is written of it."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.end_word: str | None = None
        """The provider's word for how it ended."""
        self._tools = ToolReader(choice)
        self._details = Details()
        self._has_odd_logprobs = False

    def add(self, piece: ChoiceDelta, *, is_open: bool) -> Added:
        """Take a delta. `is_open`: the role was written. Raises stream_writer.TooMany."""
        if spoken(piece.finish_reason) is not None:
            self.end_word = piece.finish_reason
        tokens, has_same_tokens = self._take_logprobs(piece.logprobs)
        delta = piece.delta
        if delta is None:
            return Added({}, tokens, is_same=False)
        added = self._texts(delta)
        is_same = has_same_tokens and self._keeps_its_lists(delta) and (delta.role is not None) is not is_open
        if delta.tool_calls:
            shown = [self._tools.add(tool) for tool in delta.tool_calls]
            added["tool_calls"] = shown
            is_same &= all(_is_told(piece, tool) for piece, tool in zip(shown, delta.tool_calls, strict=True))
        if delta.function_call is not None:
            added |= self._function(delta.function_call)
            is_same = False
        if isinstance(delta.audio, Mapping):
            added |= self.choice.hear(sound_of(delta.audio))
            is_same = False
        return Added(added, tokens, is_same=is_same and piece.finish_reason is None)

    @property
    def is_whole(self) -> bool:
        """Each call names its function."""
        function = self.choice.function
        return all(call.name for call in [*self.choice.calls, *([function] if function else [])])

    @property
    def token_logprobs(self) -> tuple[float, ...] | None:
        """Natural logs of the answer's tokens; None when a chunk had them in another shape: a part is not the whole."""
        return None if self._has_odd_logprobs else checked_logprobs(self.choice.tokens.get("content") or ())

    def close(self) -> None:
        """Nothing more comes: settle what is told as a whole."""
        if self._details.items:
            self.choice.lists["reasoning_details"] = self._details.whole()
        if self.choice.audio:
            self.choice.late = self.choice.hear(EMPTY_SOUND)

    def strange_lists(self) -> Body:
        """Annotations that the official types do not know, taken out of the message."""
        annotations = self.choice.lists.get("annotations")
        return (
            {} if fits(annotations, list[Annotation] | None) else {"annotations": self.choice.lists.pop("annotations")}
        )

    def _texts(self, delta: MessageDelta) -> Body:
        content, thoughts = split_content(delta.content)
        reasoning = delta.reasoning_content or delta.reasoning or thoughts or None
        said: Body = {}
        for field, text in (("content", content), ("refusal", delta.refusal), ("reasoning_content", reasoning)):
            if text:
                said |= self.choice.say(field, text)
        if content == "":
            said["content"] = ""  # taken when it is written: `written`
        return said

    def written(self, delta: Body) -> None:
        """A delta was written that says a content of nothing: the answer's content is empty then, and not null."""
        if delta.get("content") == "":
            self.choice.say("content", "")

    def _keeps_its_lists(self, delta: MessageDelta) -> bool:
        """Take what is told at the end; whether there was none of it, and no field that says nothing."""
        if isinstance(delta.annotations, list):
            self.choice.keep("annotations", delta.annotations)
        if isinstance(delta.images, list):
            self.choice.keep("images", shown_images(delta.images))
        self._details.add(delta.reasoning_details)
        return delta.reasoning_details is None and "" not in (delta.refusal, delta.reasoning_content)

    def _function(self, piece: FunctionDelta) -> Body:
        """A piece of the older kind of call."""
        if self.choice.function is None:
            self.choice.function = Call(0)
        shown = self.choice.function.piece("", worded(piece.name), _text(piece.arguments))
        return {"function_call": shown["function"]}

    def _take_logprobs(self, raw: msgspec.Raw) -> tuple[Body | None, bool]:
        """Log-probabilities in the official shape, and whether they came in it."""
        if not is_present(raw):
            return None, True
        try:
            shown = clean_logprobs(msgspec.json.decode(raw), {})
        except UNREADABLE:
            shown = None
        if shown is None:
            self._has_odd_logprobs = True
            return None, False
        for name, tokens in shown.items():
            if tokens is not None:
                self.choice.tokens.setdefault(name, []).extend(tokens)
        return shown, True


def worded(value: Any) -> str:
    """The text; empty for anything else."""
    return value if isinstance(value, str) else ""


def _is_told(piece: Body, tool: ToolDelta) -> bool:
    """Whether a provider's piece of a call says what is written of it."""
    function = tool.function or FunctionDelta()
    told = piece.get("function", {})
    return (
        tool.index == piece["index"]
        and tool.function is not None
        and (tool.id or "") == piece.get("id", "")
        and (function.name or "") == told.get("name", "")
        and function.arguments == told.get("arguments")
        and ("type" not in piece or tool.type == "function")
        and tool.extra_content is None
    )


def _text(arguments: Any) -> str | None:
    if arguments is None or isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(arguments).decode()


class ToolReader:
    """Tells which call a piece belongs to, also for servers that leave the index out or give all calls the same one."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._by_index: dict[int, Call] = {}
        self._looks: dict[int, int] = {}

    def add(self, delta: ToolDelta) -> Body:
        """The entry of `delta.tool_calls` that says what is new. Raises stream_writer.TooMany."""
        call = self._find(delta) or self._choice.open_call()
        if isinstance(delta.index, int):
            self._by_index[delta.index] = call
        custom = delta.custom
        if custom is not None and delta.function is None and (call.kind == "custom" or not call.is_begun):
            call.kind = "custom"
            return call.piece(worded(delta.id), worded(custom.name), _text(custom.input), delta.extra_content)
        function = delta.function or FunctionDelta()
        return call.piece(worded(delta.id), worded(function.name), _text(function.arguments), delta.extra_content)

    def _find(self, delta: ToolDelta) -> Call | None:
        """The call that a piece belongs to; None when it starts a new one."""
        calls = self._choice.calls
        name = worded(delta.function and delta.function.name) or worded(delta.custom and delta.custom.name)
        if isinstance(delta.index, int):
            call = self._by_index.get(delta.index)
        elif worded(delta.id):
            call = next((call for call in calls if call.id == delta.id), None)
            # An id never seen, without a name, is a server that makes up an id for each piece.
            return call if call or name or not calls else calls[-1]
        else:
            call = calls[-1] if calls else None
            return None if name and call and call.name else call
        return None if call is not None and self._is_another(call, delta, name) else call

    def _is_another(self, call: Call, delta: ToolDelta, name: str) -> bool:
        """Whether a piece with the index of a known call begins another one: parallel calls under one index.

        A piece that names its function again belongs to the known call (many servers repeat the name), unless the
        name is another one, the id is another one, or the arguments of the known call are whole and new ones begin.
        """
        if not name or not call.name:
            return False
        own_id = worded(delta.id)
        if own_id and call.id and own_id != call.id:
            return True
        if name != call.name:
            return True
        begun = _text(delta.function.arguments) if delta.function is not None else None
        return not own_id and (begun or "").lstrip().startswith("{") and self._is_complete(call)

    def _is_complete(self, call: Call) -> bool:
        looks = self._looks[call.place] = self._looks.get(call.place, 0) + 1
        whole = "".join(call.arguments)
        if looks > MOST_LOOKS or not whole.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(whole), dict)
        except UNREADABLE:
            return False


class Details:
    """`reasoning_details`, whose pieces come with the index of the whole that they belong to (OpenRouter's form)."""

    def __init__(self) -> None:
        self.items: list[Body] = []

    def add(self, pieces: Any) -> None:
        """Text and summaries grow, everything else is taken as it came last: a signature comes at the end."""
        for piece in pieces if isinstance(pieces, Sequence) and not isinstance(pieces, str) else ():
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

    def whole(self) -> list[Body]:
        """All of them, numbered by their places: clients put the items of a list together by these numbers."""
        return [{**item, "index": place} for place, item in enumerate(self.items)]
