"""What a sandbox model says: the likeliest label on its task, tool calls when asked, else one honest sentence."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from sandbox.instances import broken, instance
from sandbox.models import Classifier
from sandbox.pieces import LabelTree, Piece, estimate_tokens, prose_pieces
from sandbox.speech import Ask, Reply, TooLong
from sandbox.tooling import broken_call, called, calls, quoted

LABELS_THAT_TELL = 3
"""A system message that names so many of the labels asks for them; fewer may be chance."""
CONTEXT_TOKENS = 8192
ANY_OBJECT: Mapping[str, Any] = {"properties": {"answer": {"type": "string"}}}
"""The schema of an answer that must be JSON and has none."""


class Desk:
    """One model ready to answer."""

    def __init__(self, classifier: Classifier, provider: str, seed: int = 0) -> None:
        self.name = classifier.facts.name
        self._classifier = classifier
        self._seed = f"{provider}/{seed}"
        self._tree = LabelTree(classifier.labels)
        self.sentence = (
            f"I am {self.name}, an offline stand-in served by {provider}: I only sort bank customers' questions into "
            f"{len(classifier.labels)} intents when a system message lists them, so for a real answer put a provider's "
            "key into the environment (for example OPENAI_API_KEY) and restart."
        )
        self.thought = f"My {len(classifier.labels)} intents and the tools on offer are all that I can weigh."
        self._knows_task = lru_cache(maxsize=256)(self._names_labels)

    def answer(self, ask: Ask) -> Reply:
        """The reply to a checked request. Raises TooLong when it is longer than the model's window."""
        tokens = estimate_tokens(ask.texts)
        if tokens > CONTEXT_TOKENS:
            raise TooLong(tokens, CONTEXT_TOKENS)
        reply = self._said(ask, tokens)
        if ask.has_thoughts:
            reply = msgspec.structs.replace(reply, thoughts=tuple(prose_pieces(self.thought)))
        return _capped(reply, ask.max_output_tokens)

    def _said(self, ask: Ask, tokens: int) -> Reply:
        is_on_task = bool(ask.query.strip()) and not ask.results and self._knows_task(ask.system)
        if tools := called(ask):
            text = self._sort(ask, tokens).label if is_on_task else quoted(ask.results) or ask.query
            return Reply((), "tool_calls", tokens, calls=calls(tools, text or "", self._seed))
        if is_on_task:
            return self._sort(ask, tokens)
        text = quoted(ask.results) if ask.results else self.sentence
        return Reply(tuple(prose_pieces(_dressed(text, ask))), "stop", tokens)

    def _sort(self, ask: Ask, tokens: int) -> Reply:
        shares = self._classifier.probabilities(ask.query)
        index = int(shares.argmax())
        label = self._classifier.labels[index]
        pieces = self._tree.pieces(index, shares, ask.top_logprobs if ask.has_logprobs else None)
        text = _dressed(label, ask)
        if text != label:
            pieces = _framed(text, label, pieces)
        return Reply(tuple(pieces), "stop", tokens, label, float(shares[index]))

    def _names_labels(self, system: str) -> bool:
        named = sum(label in system for label in self._classifier.labels)
        return named >= min(LABELS_THAT_TELL, len(self._classifier.labels))


def emptied(reply: Reply) -> Reply:
    """The reply with nothing in it, ended as if that were all."""
    return msgspec.structs.replace(reply, pieces=(), calls=(), thoughts=(), finish_reason="stop")


def spoilt_json(ask: Ask, reply: Reply, *, in_syntax: bool) -> Reply:
    """The reply with an answer that is no JSON (its end is missing), or that the asked schema forbids.

    A reply that was not asked in a schema, calls tools or was cut at its cap stays as it is.
    """
    if ask.schema is None or not reply.pieces or reply.finish_reason != "stop":
        return reply
    text = reply.text[:-1]
    if not in_syntax:
        text = msgspec.json.encode(broken(ask.schema, msgspec.json.decode(reply.text))).decode()
    return msgspec.structs.replace(reply, pieces=tuple(prose_pieces(text)))


def spoilt_arguments(ask: Ask, reply: Reply, *, in_syntax: bool) -> Reply:
    """The reply with tool arguments that are no JSON, or that the tools' schemas forbid."""
    spoilt = tuple(broken_call(call, ask.toolbox.tools, in_syntax=in_syntax) for call in reply.calls)
    return msgspec.structs.replace(reply, calls=spoilt)


def _dressed(text: str, ask: Ask) -> str:
    """The text in the asked form."""
    return text if ask.schema is None else msgspec.json.encode(instance(ask.schema, text)).decode()


def _framed(text: str, label: str, inner: list[Piece]) -> list[Piece]:
    """The label's pieces inside their JSON; the JSON around is forced by the schema, hence of probability 1."""
    before, found, after = text.partition(f'"{label}"')
    if not found:
        return prose_pieces(text)
    return [*prose_pieces(before + '"', 0.0), *inner, *prose_pieces('"' + after, 0.0)]


def _capped(reply: Reply, cap: int | None) -> Reply:
    """The reply cut at the cap; thoughts count, as they do with every provider."""
    if cap is None:
        return reply
    left = cap - len(reply.thoughts)
    if left >= len(reply.pieces):
        return reply
    cut = {"thoughts": reply.thoughts[:cap], "pieces": reply.pieces[: max(0, left)], "finish_reason": "length"}
    return msgspec.structs.replace(reply, **cut)
