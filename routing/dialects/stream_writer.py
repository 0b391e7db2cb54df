"""Writes the chunks of a streamed answer, and adds up what they say: the sum is the stored answer.

Clients put chunks together by adding (`openai.lib.streaming`, Python and Node): texts grow, and so do an id, a name or
a role that is told twice. So each of those is told once. A finish reason, usage, and lists, whose items clients cannot
tell apart, are told once, at the end, when it is known that the answer is whole: a stream that breaks shows no end.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from jobs.chat import Answer, Usage
from routing.dialects.base import Delta
from routing.dialects.openai_face import PROVIDER_FIELDS

Body = dict[str, Any]

MOST_CHOICES = 128
"""OpenAI's own bound of `n`; its client for Node refuses a higher index."""
MOST_CALLS = 128
"""Tool calls of one choice; the same client refuses more."""
MOST_COMPARED = 200
"""Items of two lists that are compared with each other; longer lists replace each other."""
CHUNK = "chat.completion.chunk"
EMPTY_HEAD = {"id": "", "created": 0, "model": ""}
"""What the official types demand on top; there is no clock here."""
LISTS = ("reasoning_details", "annotations", "images")
"""Fields of a message that are told whole, at the end of their choice."""
GROWING = ("data", "transcript")
"""Fields of `audio` that come in pieces; the others are told once."""

_encode = msgspec.json.Encoder().encode


class TooMany(ValueError):
    """A choice or a call has a number that no client takes."""


class Call(msgspec.Struct):
    """One function call in the making."""

    place: int
    id: str = ""
    name: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    extra_content: Any = None
    kind: str = "function"
    """`function`, or `custom`: a tool that takes plain text."""
    is_begun: bool = False
    """A piece of it was written."""

    def piece(self, call_id: str, name: str, arguments: str | None, extra_content: Any = None) -> Body:
        """Take what came and return what is new of it, as an entry of `delta.tool_calls`."""
        said: Body = {}
        shown: Body = {"index": self.place}
        if call_id and not self.id:
            self.id = shown["id"] = call_id
        if not self.is_begun:
            self.is_begun = True
            shown["type"] = self.kind
            arguments = arguments or ""
        if name and not self.name:
            self.name = said["name"] = name
        if arguments is not None:
            self.arguments.append(arguments)
            said[self._input] = arguments
        shown[self.kind] = said
        if extra_content and not self.extra_content:
            self.extra_content = shown["extra_content"] = extra_content
        return shown

    @property
    def _input(self) -> str:
        return "arguments" if self.kind == "function" else "input"

    def shown(self) -> Body:
        """One of `message.tool_calls`. The arguments are the model's own text."""
        said = {"name": self.name, self._input: "".join(self.arguments)}
        call: Body = {"id": self.id, "type": self.kind, self.kind: said}
        return {**call, "extra_content": self.extra_content} if self.extra_content else call


class Choice:
    """One choice of the answer: what was written of it, and how it ended."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.end: str | None = None
        """OpenAI's finish reason, once it is settled."""
        self.calls: list[Call] = []
        self.lists: dict[str, list[Any]] = {}
        self.audio: Body = {}
        self.tokens: dict[str, list[Any]] = {}
        """Log-probabilities, by `content` and `refusal`."""
        self.function: Call | None = None
        """The call of the older kind (`message.function_call`)."""
        self.late: Body = {}
        """A delta that is known at the end only."""
        self._texts: dict[str, list[str]] = {}

    def say(self, field: str, text: str) -> Body:
        """Take a piece of content, refusal or reasoning_content; the delta that says it."""
        self._texts.setdefault(field, []).append(text)
        return {field: text}

    def text(self, field: str = "content") -> str | None:
        """All of it so far; None when nothing was said, not even nothing."""
        pieces = self._texts.get(field)
        return None if pieces is None else "".join(pieces)

    def open_call(self) -> Call:
        """A further call. Raises TooMany."""
        if len(self.calls) >= MOST_CALLS:
            raise TooMany("tool calls")
        call = Call(len(self.calls))
        self.calls.append(call)
        return call

    def keep(self, field: str, items: Iterable[Any]) -> None:
        """Take items of one of `LISTS`; they are written at the end."""
        self.lists.setdefault(field, []).extend(items)

    def hear(self, piece: Mapping[str, Any]) -> Body:
        """Take a piece of `audio`; the delta that adds it."""
        new: Body = {}
        for name, part in piece.items():
            if part is None:
                continue
            if name in GROWING and isinstance(part, str):
                self.audio[name] = self.audio.get(name, "") + part
                new[name] = part
            elif name not in self.audio:
                self.audio[name] = new[name] = part
        return {"audio": new} if new else {}

    def logprobs(self) -> Body | None:
        """`choices[].logprobs` of all that was written; None when there were none."""
        if not any(self.tokens.values()):
            return None
        return {"content": self.tokens.get("content"), "refusal": self.tokens.get("refusal")}

    def says_nothing(self) -> bool:
        """Neither words nor calls nor sound nor pictures; thoughts are not an answer."""
        says = (self.text() or "").strip() or self.text("refusal") or self.calls or self.function
        return not (says or self.audio or self.lists.get("images"))

    def message(self) -> Body:
        """`choices[].message`."""
        _ = self.last_delta  # gives calls their ids that came without one
        shown: Body = {"role": "assistant", "content": self.text(), "refusal": self.text("refusal") or None}
        if (reasoning := self.text("reasoning_content")) is not None:
            shown["reasoning_content"] = reasoning
        shown |= {field: items for field, items in self.lists.items() if items}
        if self.audio:
            shown["audio"] = self.audio
        if self.calls:
            shown["tool_calls"] = [call.shown() for call in self.calls]
        if self.function is not None:
            shown["function_call"] = self.function.shown()["function"]
        return shown

    @functools.cached_property
    def last_delta(self) -> Body:
        """What is still to be written at the end: ids that never came, and the lists. Ask for it when all is said."""
        delta: Body = self.late | {field: items for field, items in self.lists.items() if items}
        nameless = [call for call in self.calls if not call.id]
        if nameless:
            delta["tool_calls"] = [call.piece(f"call_{call.place}", "", "") for call in nameless]
        return delta


class StreamWriter:
    """One streamed answer. Feed it with `chunk`, end it with `closing`, then take the `answer`."""

    def __init__(self) -> None:
        self.head: Body = EMPTY_HEAD
        """Fields on top of every chunk: id, created, model and others that are the same in all of them."""
        self.is_begun = False
        """A chunk was written: the head may not change any more."""
        self.extras: Body = {}
        """What the provider said beyond the official types (`provider_fields`)."""
        self.choices: list[Choice] = []
        self._opened = 0
        """Choices whose role was written."""

    def choice(self, index: int) -> Choice:
        """The choice of that number, with those before it. Raises TooMany."""
        if not 0 <= index < MOST_CHOICES:
            raise TooMany("choices")
        while len(self.choices) <= index:
            self.choices.append(Choice(len(self.choices)))
        return self.choices[index]

    def note(self, fields: Mapping[str, Any]) -> None:
        """Add to `provider_fields`."""
        if fields:
            self.extras = _joined(self.extras, fields)

    def note_choice(self, index: int, fields: Mapping[str, Any]) -> None:
        """Add to what `provider_fields` says of one choice."""
        if fields:
            self.note({"choices": {str(index): fields}})

    def write(
        self, choice: Choice, delta: Mapping[str, Any], tokens: Mapping[str, Any] | None = None, *, has_content: bool
    ) -> list[Delta]:
        """The chunk that adds a delta to a choice, behind chunks that open it and those before it."""
        opened = self._open(choice.index)
        if not delta and tokens is None:
            return opened
        if opened and tokens is None and len(opened) == 1:
            # The role and the first piece go together, as OpenAI sends them.
            return [self._chunk([_piece(choice.index, {"role": "assistant", **delta})], has_content=has_content)]
        return [*opened, self._chunk([_piece(choice.index, delta, tokens)], has_content=has_content)]

    def passed(self, chunk: bytes, indexes: Sequence[int], *, has_content: bool) -> Delta:
        """A chunk of the provider's own bytes that says just what was taken, and opens these choices."""
        self.is_begun = True
        self._opened = max([self._opened, *(index + 1 for index in indexes)])
        return Delta(chunk=chunk, has_content=has_content)

    def is_open(self, index: int) -> bool:
        """Whether a choice's role was written."""
        return index < self._opened

    def is_next(self, index: int) -> bool:
        """Whether a choice is the next one to be opened: clients number choices by their order."""
        return index == self._opened

    def closing(self, usage: Body | None) -> list[Delta]:
        """The chunks that end every choice, then the usage."""
        deltas = self._open(len(self.choices) - 1)
        for choice in self.choices:
            more: Body = {}
            if choice.index == len(self.choices) - 1 and self.extras:
                more[PROVIDER_FIELDS] = self.extras
            delta = choice.last_delta
            deltas.append(self._chunk([_piece(choice.index, delta, None, choice.end)], more))
        return deltas if usage is None else [*deltas, self._chunk([], {"usage": usage})]

    def answer(self, usage: Usage | None, shown_usage: Body | None, *, is_odd: bool) -> Answer:
        """The whole, for a stream whose choices have all ended."""
        first = self.choices[0]
        choices: list[Body] = [
            {
                "index": choice.index,
                "message": choice.message(),
                "finish_reason": choice.end,
                "logprobs": choice.logprobs(),
            }
            for choice in self.choices
        ]
        self._begin(choices)
        body: Body = {**self.head, "object": "chat.completion", "choices": choices}
        if shown_usage is not None:
            body["usage"] = shown_usage
        if self.extras:
            body[PROVIDER_FIELDS] = self.extras
        return Answer(
            body=_encode(body),
            text=first.text() or "",
            finish_reason=first.end or "",
            usage=usage,
            has_odd_usage=is_odd,
            has_tool_calls=bool(first.calls) or first.function is not None,
            has_refusal=bool(first.text("refusal")),
            has_sound=bool(first.audio),
            has_images=bool(first.lists.get("images")),
        )

    def _begin(self, choices: list[Body]) -> None:
        """Settle the head: nothing of it may change once a chunk was written."""
        if not self.is_begun and not self.head["id"]:
            self.head = {**self.head, "id": _id_of(choices)}
        self.is_begun = True

    def _open(self, index: int) -> list[Delta]:
        """The chunks that tell the roles of all choices up to that one which have none yet."""
        deltas = []
        while self._opened <= index:
            deltas.append(self._chunk([_piece(self._opened, {"role": "assistant"})]))
            self._opened += 1
        return deltas

    def _chunk(self, choices: list[Body], more: Mapping[str, Any] = {}, *, has_content: bool = False) -> Delta:
        self._begin(choices)
        return Delta(_encode({**self.head, "object": CHUNK, "choices": choices, **more}), has_content=has_content)


def _id_of(choices: list[Body]) -> str:
    """An id for an answer whose provider gives none: OpenAI's client for Node passes over usage in a chunk without."""
    return f"chatcmpl-{hashlib.blake2b(_encode(choices), digest_size=12).hexdigest()}"


def _joined(first: Mapping[str, Any], last: Mapping[str, Any]) -> Body:
    """What two pieces of a stream say beyond the official types: lists get what is new, else the later one stands."""
    both = dict(first)
    for name, value in last.items():
        known = both.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            both[name] = _joined(known, value)
        elif isinstance(known, list) and isinstance(value, list) and len(known) + len(value) <= MOST_COMPARED:
            both[name] = [*known, *(item for item in value if item not in known)]
        elif value is not None:
            both[name] = value
    return both


def _piece(index: int, delta: Mapping[str, Any], tokens: Any = None, end: str | None = None) -> Body:
    return {"index": index, "delta": delta, "finish_reason": end, "logprobs": tokens}
