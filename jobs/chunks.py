"""Answers in pieces, as OpenAI sends them: a stored answer cut into chunks, and a stream's usage told when asked."""

from collections.abc import Mapping
from typing import Any

import msgspec

Body = dict[str, Any]
BESIDE = "provider_fields"
HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


def chunks_of(completion: bytes) -> list[bytes]:
    """The chunks of a chat.completion: for each choice its role, its message and its end; last the usage, if known.

    Always the same ones for the same answer, so that a reader can go on at the nth. They say all that the answer says:
    what a provider put beside its choices (`provider_fields`) stands in the last chunk with a choice.
    """
    body: Body = msgspec.json.decode(completion)
    head: Body = {"object": "chat.completion.chunk"} | {name: body[name] for name in HEAD if body.get(name) is not None}
    chunks = []
    for choice in body.get("choices") or ():
        index, message = choice.get("index", 0), choice.get("message") or {}
        first = {"role": message.get("role") or "assistant", "content": None if message.get("content") is None else ""}
        chunks.append(head | {"choices": [_choice(index, first)]})
        if delta := _delta(message):
            chunks.append(head | {"choices": [_choice(index, delta, choice.get("logprobs"))]})
        chunks.append(head | {"choices": [_choice(index, {}, None, choice.get("finish_reason"))]})
    if chunks and body.get(BESIDE):
        chunks[-1][BESIDE] = body[BESIDE]
    if body.get("usage") is not None:
        chunks.append(head | {"choices": [], "usage": body["usage"]})
    return [msgspec.json.encode(chunk) for chunk in chunks]


def _choice(index: int, delta: Body, logprobs: Any = None, finish_reason: str | None = None) -> Body:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _delta(message: Mapping[str, Any]) -> Body:
    """All of a message but its role; tool calls get the index that chunks have."""
    delta = {name: value for name, value in message.items() if name != "role" and value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return delta


class UsageTeller:
    """Tells a stream's usage as OpenAI does: to who asked (`include_usage`) in one last chunk without choices.

    Providers are always asked for it, since the ledger books it, and send it where they like: in a last chunk, in
    each, or beside the finish reason.
    """

    def __init__(self, *, is_asked: bool) -> None:
        self._is_asked = is_asked
        self._head: Body = {}
        self._usage: Any = None

    def show(self, chunk: bytes) -> bytes | None:
        """The chunk as it is sent on; None when it had nothing but the usage."""
        if b'"usage"' not in chunk:  # inside a string the quotes would be escaped
            return chunk.rstrip()[:-1] + b',"usage":null}' if self._is_asked else chunk
        body: Body = msgspec.json.decode(chunk)
        usage = body.pop("usage", None)
        if usage is not None:  # cumulative where it comes more than once: replace, never add
            self._usage = usage
            self._head = {name: body[name] for name in ("object", *HEAD) if name in body}
        if not body.get("choices"):
            return None
        return msgspec.json.encode(body | {"usage": None} if self._is_asked else body)

    def last(self) -> bytes | None:
        """The usage chunk; None when nobody asked, or nobody knows."""
        if not self._is_asked or self._usage is None:
            return None
        return msgspec.json.encode(self._head | {"choices": [], "usage": self._usage})
