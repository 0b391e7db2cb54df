"""Rewrites the text of answers, whole or streamed, choice by choice: a code fence goes, thoughts become reasoning.

A `Rewriter` reads one choice's text in pieces cut anywhere. What it makes of them is the same for a whole answer and a
stream, and what the chunks of a stream said is what is stored of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure
from routing.dialects.base import Delta, StreamDecoder

REASONING = "reasoning_content"
_SILENT = {"role", "reasoning_details"}
"""Of a delta, what moves no token clock."""


class Split(NamedTuple):
    """What a piece of text is."""

    content: str = ""
    thoughts: str = ""
    """Reasoning, which comes before the content."""


class Rewriter(Protocol):
    """Text of one choice in pieces; holds back what it can't tell yet."""

    @property
    def is_plain(self) -> bool:
        """Nothing is held, and all that comes from here on is content as it is."""

    def add(self, piece: str) -> Split:
        """What of the text so far is sure and was not given yet."""

    def flush(self) -> Split:
        """The rest, at the end."""


def rewritten(answer: Answer | Failure, make: Callable[[], Rewriter]) -> Answer | Failure:
    """The answer with the text of each choice rewritten; one where nothing changes stays as it is, to the byte."""
    if isinstance(answer, Failure):
        return answer
    body = msgspec.json.decode(answer.body)
    has_changed = False
    for choice in body["choices"]:
        has_changed |= _rewrite(choice["message"], make())
    return _with(answer, body) if has_changed else answer


def _rewrite(message: dict[str, Any], rewriter: Rewriter) -> bool:
    """Rewrite a message in place; whether it changed."""
    content = message.get("content")
    if not isinstance(content, str):
        return False
    (first, thoughts), (rest, last) = rewriter.add(content), rewriter.flush()
    text, thoughts = first + rest, thoughts + last
    if text == content:
        return False
    message["content"] = text
    own = message.get(REASONING) or ""
    if thoughts and not _mirrors(thoughts, own):
        message[REASONING] = own + thoughts
    return True


def _mirrors(thoughts: str, own: str) -> bool:
    """Whether thoughts in the text are those that the provider also gave apart, as MiniMax does.

    Source: vellum-ai/vellum-assistant#34556 (2026-06-11).
    """
    return thoughts.strip() == own.strip()


def _with(answer: Answer, body: Mapping[str, Any]) -> Answer:
    text = body["choices"][0]["message"].get("content")
    return msgspec.structs.replace(
        answer, body=msgspec.json.encode(body), text=text if isinstance(text, str) else answer.text
    )


class _Choice:
    """One choice of a stream: what came and what is shown of it."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.has_changed = False
        self._shown: dict[str, list[str]] = {}
        self._own: list[str] = []
        """The reasoning that the provider gave apart."""
        self._doubted: list[str] = []
        """Thoughts in the text that may be the same as these."""

    def take(self, delta: dict[str, Any], *, is_end: bool) -> dict[str, Any]:
        """The delta as it is shown: the same one where nothing changes. What it holds beside the texts stays."""
        content, own = delta.get("content"), delta.get(REASONING) or ""
        text, thoughts = self.rewriter.add(content or "")
        if is_end:
            rest, last = self.rewriter.flush()
            text, thoughts = text + rest, thoughts + last
        self._own += [own] if own else []
        thoughts = own + self._doubt(thoughts, is_over=bool(text) or is_end)
        shown = delta
        if (text, thoughts) != (content or "", own):
            self.has_changed = True
            shown = {name: part for name, part in delta.items() if name not in ("content", REASONING)}
            shown |= {REASONING: thoughts} if thoughts else {}
            if text or (content is not None and "content" not in self._shown):
                shown["content"] = text  # an empty one, too: it says that there is a content
        for name in ("content", REASONING):
            if isinstance(shown.get(name), str):
                self._shown.setdefault(name, []).append(shown[name])
        return shown

    def _doubt(self, thoughts: str, *, is_over: bool) -> str:
        """Thoughts of the text that may be shown; beside the provider's own they wait until they are seen to differ."""
        if not self._own:
            return thoughts
        self._doubted += [thoughts] if thoughts else []
        if not is_over:
            return ""
        waited, self._doubted = "".join(self._doubted), []
        return "" if _mirrors(waited, "".join(self._own)) else waited

    def put(self, message: dict[str, Any]) -> None:
        """Make a stored message say what was shown."""
        message |= {name: "".join(pieces) for name, pieces in self._shown.items()}


class RewrittenStream:
    """A stream decoder whose chunks and answer come rewritten; wraps another one."""

    def __init__(self, decoder: StreamDecoder, make: Callable[[], Rewriter], choices: int | None = None) -> None:
        """`choices`: how many were asked for; once all are plain and unchanged, chunks go by unread. None: unknown."""
        self._decoder = decoder
        self._make = make
        self._most = choices
        self._choices: dict[int, _Choice] = {}
        self._is_plain = False

    def feed(self, data: bytes) -> Iterable[Delta]:
        """As `StreamDecoder.feed`."""
        return self._all(self._decoder.feed(data))

    def end(self) -> Iterable[Delta]:
        """As `StreamDecoder.end`."""
        return self._all(self._decoder.end())

    def _all(self, deltas: Iterable[Delta]) -> Iterable[Delta]:
        return deltas if self._is_plain else [shown for delta in deltas for shown in self._rewrite(delta)]

    def finish(self) -> Answer | Failure:
        """As `StreamDecoder.finish`. What was streamed is stored as it was shown."""
        answer = self._decoder.finish()
        if isinstance(answer, Failure) or not self._choices:
            return rewritten(answer, self._make)  # a provider may answer a streamed call with a whole body
        changed = {index: choice for index, choice in self._choices.items() if choice.has_changed}
        if not changed:
            return answer
        body = msgspec.json.decode(answer.body)
        for choice in body["choices"]:
            if choice["index"] in changed:
                changed[choice["index"]].put(choice["message"])
        return _with(answer, body)

    def _rewrite(self, delta: Delta) -> Iterable[Delta]:
        """The chunk itself where no choice of it changes, else what it says now.

        Text that comes with the end of its choice goes out before it, since clients may stop reading at the end. A
        chunk whose text is held back still goes out, without it: its tokens did come.
        """
        if self._is_plain:
            return [delta]
        chunk = msgspec.json.decode(delta.chunk)
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        has_changed = False
        for choice in chunk["choices"]:
            shown = self._take(choice)
            if shown is choice["delta"]:
                after.append(choice)
                continue
            has_changed = True
            if choice.get("finish_reason") is not None:
                text = {name: shown.pop(name) for name in ("content", REASONING) if name in shown}
                before += [{"index": choice["index"], "delta": text, "finish_reason": None}] if text else []
            after.append({**choice, "delta": shown})
        ready = [choice.rewriter.is_plain and not choice.has_changed for choice in self._choices.values()]
        self._is_plain = self._most is not None and len(ready) >= self._most and all(ready)
        if not has_changed:
            return [delta]
        head = {name: part for name, part in chunk.items() if name != "usage"}  # which is said once, with the rest
        return [
            *_chunk(head, before, has_content=True),
            *_chunk(chunk, after, has_content=delta.has_content and not before),
        ]

    def _take(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        mine = self._choices.setdefault(choice["index"], _Choice(self._make()))
        return mine.take(choice["delta"], is_end=choice.get("finish_reason") is not None)


def _chunk(chunk: Mapping[str, Any], choices: list[dict[str, Any]], *, has_content: bool) -> Iterable[Delta]:
    if choices:
        moves = any(part for choice in choices for name, part in choice["delta"].items() if name not in _SILENT)
        yield Delta(chunk=msgspec.json.encode({**chunk, "choices": choices}), has_content=moves or has_content)
