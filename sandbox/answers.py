"""What a sandbox model says: the likeliest label on its task, one honest sentence off it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from sandbox.instances import instance
from sandbox.models import Classifier
from sandbox.pieces import LabelTree, Piece, estimate_tokens, prose_pieces
from sandbox.wire import ChatCall, WireError

LABELS_THAT_TELL = 3
"""A system message that names so many of the labels asks for them; fewer may be chance."""
CONTEXT_TOKENS = 8192


class Reply(msgspec.Struct, frozen=True):
    """An answer before it is put on the wire."""

    pieces: tuple[Piece, ...]
    finish_reason: Literal["stop", "length"]
    input_tokens: int
    label: str | None = None
    """None off the task."""
    probability: float | None = None


class Desk:
    """One model ready to answer."""

    def __init__(self, classifier: Classifier, provider: str) -> None:
        self.name = classifier.facts.name
        self._classifier = classifier
        self._tree = LabelTree(classifier.labels)
        self.sentence = (
            f"I am {self.name}, an offline stand-in served by {provider}: I only sort bank customers' questions into "
            f"{len(classifier.labels)} intents when a system message lists them, so for a real answer put a provider's "
            "key into the environment (for example OPENAI_API_KEY) and restart."
        )
        self._knows_task = lru_cache(maxsize=256)(self._names_labels)

    def answer(self, call: ChatCall) -> Reply:
        """The reply to a checked call. Raises WireError (400) when it is longer than the model's window."""
        texts = [message.text for message in call.messages]
        tokens = estimate_tokens(texts)
        if tokens > CONTEXT_TOKENS:
            message = (
                f"This model's maximum context length is {CONTEXT_TOKENS} tokens; your messages have about {tokens}."
            )
            raise WireError(400, message, param="messages", code="context_length_exceeded")
        query = next((m.text for m in reversed(call.messages) if m.role == "user"), "")
        system = "\n".join(m.text for m in call.messages if m.role in {"system", "developer"})
        if query.strip() and self._knows_task(system):
            return _capped(self._sort(query, call, tokens), call.max_output_tokens)
        pieces = tuple(prose_pieces(_dressed(self.sentence, call)))
        return _capped(Reply(pieces, "stop", tokens), call.max_output_tokens)

    def _sort(self, query: str, call: ChatCall, tokens: int) -> Reply:
        shares = self._classifier.probabilities(query)
        index = int(shares.argmax())
        label = self._classifier.labels[index]
        pieces = self._tree.pieces(index, shares, (call.top_logprobs or 0) if call.logprobs else None)
        text = _dressed(label, call)
        if text != label:
            pieces = _framed(text, label, pieces)
        return Reply(tuple(pieces), "stop", tokens, label, float(shares[index]))

    def _names_labels(self, system: str) -> bool:
        named = sum(label in system for label in self._classifier.labels)
        return named >= min(LABELS_THAT_TELL, len(self._classifier.labels))


def _dressed(text: str, call: ChatCall) -> str:
    """The text in the asked form."""
    wanted = call.response_format
    if wanted is None or wanted.type == "text":
        return text
    schema: Mapping[str, Any] = {"properties": {"answer": {"type": "string"}}}
    if wanted.json_schema is not None:
        schema = wanted.json_schema.schema
    return msgspec.json.encode(instance(schema, text)).decode()


def _framed(text: str, label: str, inner: list[Piece]) -> list[Piece]:
    """The label's pieces inside their JSON; the JSON around is forced by the schema, hence of probability 1."""
    before, found, after = text.partition(f'"{label}"')
    if not found:
        return prose_pieces(text)
    return [*prose_pieces(before + '"', 0.0), *inner, *prose_pieces('"' + after, 0.0)]


def _capped(reply: Reply, cap: int | None) -> Reply:
    if cap is None or len(reply.pieces) <= cap:
        return reply
    return msgspec.structs.replace(reply, pieces=reply.pieces[:cap], finish_reason="length")
