"""Takes the code fence off an answer that was asked for as JSON in words: models like to put one around it.

Only for calls whose `WireRequest.is_json_told` says so: elsewhere a fence belongs to the answer.
"""

import re

from jobs.chat import Answer
from jobs.failures import Failure
from routing.dialects.base import StreamDecoder
from routing.dialects.rewriting import RewrittenStream, Split, rewritten

_OPENING = re.compile(r"\s*```(?:json)?[ \t]*\r?\n", re.IGNORECASE)
_MAYBE_OPENING = re.compile(r"\s*(?:`{0,2}|```[a-z]{0,4}[ \t]*\r?)\Z", re.IGNORECASE)
_FENCE = "```"


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

    @property
    def is_plain(self) -> bool:
        """There is no fence, and nothing is held."""
        return self._is_fenced is False

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


class _Fence:
    """An `Unfencer` as a `routing.dialects.rewriting.Rewriter`."""

    def __init__(self) -> None:
        self._unfencer = Unfencer()

    @property
    def is_plain(self) -> bool:
        return self._unfencer.is_plain

    def add(self, piece: str) -> Split:
        return Split(self._unfencer.add(piece))

    def flush(self) -> Split:
        return Split(self._unfencer.flush())


def unfenced(answer: Answer | Failure) -> Answer | Failure:
    """The answer without the fence around the text of any of its choices; what has none stays as it is."""
    return rewritten(answer, _Fence)


class UnfencedStream(RewrittenStream):
    """A stream decoder whose chunks and answer come without the fence; wraps the dialect's own."""

    def __init__(self, decoder: StreamDecoder, choices: int | None = None) -> None:
        """`choices`: how many answers were asked for; None: unknown."""
        super().__init__(decoder, _Fence, choices)
