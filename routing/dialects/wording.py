"""Brings the text of an answer into OpenAI's form on every wire: thoughts go to reasoning, a fence around JSON goes."""

from collections.abc import Callable

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure
from routing.dialects.base import StreamDecoder
from routing.dialects.fences import UnfencedStream, unfenced
from routing.dialects.rewriting import Rewriter, RewrittenStream, rewritten
from routing.dialects.tagged_thoughts import TaggedThoughts, ThoughtsBeforeJson, may_begin_with_thoughts

_KEEP_THOUGHTS_APART = frozenset({"openai", "azure"})
"""Accents of servers whose models leave no tags: what looks like one there was asked for by the caller."""


class Wording(msgspec.Struct, frozen=True):
    """How the answers of one call are read."""

    dialect: str
    accent: str = ""
    is_json: bool = False
    """JSON was asked for, by a field or in words."""
    is_fenced: bool = False
    """In words, so that a code fence may stand around it."""
    choices: int = 1
    """How many answers were asked for."""

    def whole(self, answer: Answer | Failure) -> Answer | Failure:
        """A whole answer. One without thoughts and fence is not read again, and stays as it is to the byte."""
        if isinstance(answer, Failure):
            return answer
        make = self._thoughts
        if make is not None and (self.choices > 1 or may_begin_with_thoughts(answer.text, is_json=self.is_json)):
            answer = rewritten(answer, make)
        return unfenced(answer) if self.is_fenced else answer

    def stream(self, decoder: StreamDecoder) -> StreamDecoder:
        """The decoder of a streamed answer, reading the same."""
        if (make := self._thoughts) is not None:
            decoder = RewrittenStream(decoder, make, self.choices)
        return UnfencedStream(decoder, self.choices) if self.is_fenced else decoder

    @property
    def _thoughts(self) -> Callable[[], Rewriter] | None:
        """None where a text is not read for thoughts: other wires than OpenAI's have a place for them."""
        if self.is_json:
            return ThoughtsBeforeJson
        return TaggedThoughts if self.dialect == "openai" and self.accent not in _KEEP_THOUGHTS_APART else None
