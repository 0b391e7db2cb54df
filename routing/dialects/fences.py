"""Takes the code fence off an answer that was asked for as JSON in words: models like to put one around it.

Only for calls whose `WireRequest.is_json_told` says so: elsewhere a fence belongs to the answer.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure
from routing.dialects.base import Delta, StreamDecoder

_OPENING = re.compile(r"\s*```(?:json)?[ \t]*\r?\n", re.IGNORECASE)
_MAYBE_OPENING = re.compile(r"\s*(?:`{0,2}|```[a-z]{0,4}[ \t]*\r?)\Z", re.IGNORECASE)
_FENCE = "```"
_SILENT = {"role", "reasoning_details"}
"""Of a delta, what moves no token clock."""


class Unfencer:
    r"""Text in pieces cut anywhere; holds back what may be a fence until it is known.

    >>> unfencer = Unfencer()
    >>> [unfencer.add(piece) for piece in ("``", "`json\n{}", "\n`", "``")], unfencer.flush()
    (['', '{}', '', ''], '')
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._is_blank = True
        """What is held is white space only."""
        self._is_fenced: bool | None = None
        """None while the beginning may still become a fence."""

    def add(self, piece: str) -> str:
        """What of the text so far is surely no fence and was not given yet."""
        if not piece or (piece.isspace() and not self._tells(piece)):
            # Read with the next piece that tells something: reading all of it again for each blank would be quadratic.
            self._held.append(piece)
            return ""
        held = "".join((*self._held, piece))
        if self._is_fenced is None:
            opening = _OPENING.match(held)
            if opening is None and _MAYBE_OPENING.fullmatch(held):
                return self._hold(held, 0)
            self._is_fenced = opening is not None
            held = held if opening is None else held[opening.end() :]
        return self._hold(held, _sure_end(held) if self._is_fenced else len(held))

    def flush(self) -> str:
        """The rest, at the end: nothing, when it closes the fence."""
        held = "".join(self._held)
        self._hold("", 0)
        return "" if self._is_fenced and held.strip() in {"", _FENCE} else held

    def _tells(self, blank: str) -> bool:
        """Whether white space says something: a line end after back-ticks does, and without a fence nothing waits."""
        return self._is_fenced is False or (self._is_fenced is None and not self._is_blank and "\n" in blank)

    def _hold(self, text: str, safe: int) -> str:
        """Gives the text as far as it is safe and keeps the rest."""
        rest = text[safe:]
        self._held = [rest] if rest else []
        self._is_blank = not rest.strip()
        return text[:safe]


def _sure_end(text: str) -> int:
    r"""Where the tail begins that may close a fence.

    No regular expression: `\s*`{0,3}\s*\Z` takes cubic time on a run of spaces, and holds the whole process meanwhile.
    """
    stem = text.rstrip()
    ticks = min(len(stem) - len(stem.rstrip("`")), len(_FENCE))
    return len(stem[: len(stem) - ticks].rstrip())


def unfenced(answer: Answer | Failure) -> Answer | Failure:
    """The answer without the fence around the text of any of its choices; what has none stays as it is."""
    if isinstance(answer, Failure):
        return answer
    body = msgspec.json.decode(answer.body)
    has_changed = False
    for choice in body["choices"]:
        content = choice["message"].get("content")
        if isinstance(content, str) and (text := _bare(content)) != content:
            choice["message"]["content"] = text
            has_changed = True
    if not has_changed:
        return answer
    return msgspec.structs.replace(answer, body=msgspec.json.encode(body), text=_bare(answer.text))


def _bare(text: str) -> str:
    unfencer = Unfencer()
    return unfencer.add(text) + unfencer.flush()


class UnfencedStream:
    """A stream decoder whose chunks and answer come without the fence; wraps the dialect's own."""

    def __init__(self, decoder: StreamDecoder) -> None:
        self._decoder = decoder
        self._unfencers: defaultdict[int, Unfencer] = defaultdict(Unfencer)
        """By the index of the choice: each is a text of its own, and they come mixed."""

    def feed(self, data: bytes) -> Iterable[Delta]:
        """As `StreamDecoder.feed`."""
        return [delta for whole in self._decoder.feed(data) for delta in self._without(whole)]

    def end(self) -> Iterable[Delta]:
        """As `StreamDecoder.end`."""
        return [delta for whole in self._decoder.end() for delta in self._without(whole)]

    def finish(self) -> Answer | Failure:
        """As `StreamDecoder.finish`."""
        return unfenced(self._decoder.finish())

    def _without(self, delta: Delta) -> Iterable[Delta]:
        """The chunk itself where no choice of it changes, or what it says now: nothing while all of it is held back.

        Text that comes with the end of its choice goes out before it, since clients may stop reading at the end.
        """
        chunk = msgspec.json.decode(delta.chunk)
        before, after, has_changed = [], [], False
        for choice in chunk["choices"]:
            content = choice["delta"].get("content") or ""
            text = self._shown(choice, content)
            if text == content:
                after.append(choice)
                continue
            has_changed = True
            rest = {**choice, "delta": {name: part for name, part in choice["delta"].items() if name != "content"}}
            if choice.get("finish_reason") is None:
                rest["delta"] |= {"content": text} if text else {}
            elif text:
                before.append({"index": choice["index"], "delta": {"content": text}, "finish_reason": None})
            if _says_anything(rest):
                after.append(rest)
        if not has_changed:
            return [delta]
        head = {name: part for name, part in chunk.items() if name != "usage"}  # which is said once, with the rest
        return [*_chunks(head, before), *_chunks(chunk, after)]

    def _shown(self, choice: Mapping[str, Any], content: str) -> str:
        unfencer = self._unfencers[choice["index"]]
        text = unfencer.add(content)
        return text if choice.get("finish_reason") is None else text + unfencer.flush()


def _says_anything(choice: Mapping[str, Any]) -> bool:
    """Whether something is left of a choice whose text is held back."""
    return bool(choice.get("finish_reason") or choice.get("logprobs") or any(choice["delta"].values()))


def _chunks(chunk: Mapping[str, Any], choices: list[dict[str, Any]]) -> Iterable[Delta]:
    if choices:
        moves = any(part for choice in choices for name, part in choice["delta"].items() if name not in _SILENT)
        yield Delta(chunk=msgspec.json.encode({**chunk, "choices": choices}), has_content=moves)
