"""Reads a streamed chat completion: passes the chunks on and puts them together into the whole that polling shows.

Success needs both halves of the terminal marker: a finish_reason for each choice, and `data: [DONE]`. Neither official
SDK notices a stream that ends without them, and gateways have sold cut answers as finished for that reason.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta, WireReply
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.openai_clean import PROVIDER_FIELDS, clean, clean_chunk
from routing.dialects.openai_errors import classify_in_band, finish_fault
from routing.dialects.openai_face import is_official_chunk
from routing.dialects.openai_parts import ChoiceDelta, ChoiceParts
from routing.dialects.openai_shape import judged_finish, read_usage
from routing.dialects.sse import Event, EventReader, Oversized

DONE = b"[DONE]"


class Chunk(msgspec.Struct, frozen=True):
    """A chat.completion.chunk, leniently."""

    id: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    choices: list[ChoiceDelta] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None


_chunk = msgspec.json.Decoder(Chunk)


class OpenAIStreamDecoder:
    """One streamed call: `feed` bytes as they come, then `finish` once. Never raises for what a provider may send.

    A provider that ignores `stream` and answers with one JSON body is read as such (`decode_whole`).
    """

    def __init__(self, decode_whole: Callable[[WireReply], Answer | Failure]) -> None:
        self._decode_whole = decode_whole
        self._reader = EventReader()
        self._plain: list[bytes] | None = None
        self._is_settled = False
        """Whether the first byte that is no blank has told a stream from a plain body."""
        self._failure: Failure | None = None
        self._is_done = False
        self._head = Chunk()
        self._usage: Any = None
        self._choices: dict[int, ChoiceParts] = {}
        self._extras: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete, each as the provider sent it."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith(b"{") else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) if (delta := self._take(event)) is not None]

    def finish(self) -> Answer | Failure:
        """The body ended: the whole answer, or a failure (truncated, malformed, an in-band error)."""
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        broken = self._failure or self._end_fault()
        return self._answer() if broken is None else broken

    def _end_fault(self) -> Failure | None:
        last = self._reader.flush()
        if not self._is_done and (last is None or last.data.strip() != DONE):
            return failure(FailureKind.TRUNCATED, "no_done")
        if not self._choices:
            return failure(FailureKind.TRUNCATED, "no_finish_reason")
        for parts in self._choices.values():
            if (broken := finish_fault(parts.finish_reason)) is not None:
                return broken
            if not parts.is_whole:
                return failure(FailureKind.MALFORMED, "tool_call_without_name")
        return None

    def _take(self, event: Event | Oversized) -> Delta | None:
        if self._is_done or self._failure is not None:
            return None
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return None
        if event.data.strip() == DONE:
            self._is_done = True
            return None
        try:
            event.data.decode()  # msgspec does not check the UTF-8 of fields that it skips
            chunk = _chunk.decode(event.data)
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_chunk")
            return None
        if chunk.error is not None or event.name == "error":
            error = msgspec.json.decode(event.data) if chunk.error is None else chunk.error
            self._failure = classify_in_band(error)
            return None
        return self._add(chunk, event.data)

    def _add(self, chunk: Chunk, data: bytes) -> Delta | None:
        if self._head.id is None:
            self._head = chunk
        usage = chunk.usage or (chunk.x_groq.get("usage") if isinstance(chunk.x_groq, Mapping) else None)
        if usage is not None:
            self._usage = usage  # cumulative where it comes more than once: replace, never add
        has_content, is_in_place = False, True
        for delta in chunk.choices or ():
            if delta.error is not None:
                self._failure = classify_in_band(delta.error)
                return None
            parts = self._choices.setdefault(delta.index or 0, ChoiceParts())
            has_content |= parts.add(delta)
            tools = delta.delta.tool_calls if delta.delta else None
            is_in_place &= [tool.index for tool in tools or ()] == parts.places
        # An event of several data lines is JSON with line ends: legal here, but it would break the event it is sent in.
        one_line = msgspec.json.format(data, indent=-1) if b"\n" in data else data
        is_official = is_in_place and is_official_chunk(one_line)
        return Delta(chunk=one_line if is_official else self._cleaned(one_line), has_content=has_content)

    def _cleaned(self, data: bytes) -> bytes:
        """A chunk in a shape of the provider's own, as the official types want it."""
        head = self._head
        known = {"id": head.id or "", "model": head.model or "", "created": head.created or 0}
        places = {index: parts.places for index, parts in self._choices.items()}
        shown = clean_chunk(msgspec.json.decode(data), known, places)
        self._extras |= shown.get(PROVIDER_FIELDS, {})
        return msgspec.json.encode(shown)

    def _answer(self) -> Answer:
        ordered = sorted(self._choices.items())
        first = ordered[0][1]
        return Answer(
            body=msgspec.json.encode(self._body(ordered)),
            text=first.text,
            finish_reason=judged_finish(first.official_finish, has_refusal=bool(first.refusal)),
            usage=read_usage(self._usage),
            logprobs=first.token_logprobs,
            has_tool_calls=first.has_tool_calls,
            has_refusal=bool(first.refusal),
            has_sound=first.has_sound,
        )

    def _body(self, ordered: list[tuple[int, ChoiceParts]]) -> dict[str, Any]:
        head = self._head
        body: dict[str, Any] = {
            "id": head.id or "",
            "object": "chat.completion",
            "created": head.created or 0,  # the official types demand a number; there is no clock here
            "model": head.model or "",
            "choices": [{"index": index, **parts.shown()} for index, parts in ordered],
        }
        # The pieces may be of the provider's own shape: the whole is cleaned as one that came whole.
        if self._usage is not None:
            body["usage"] = self._usage
        for name in ("system_fingerprint", "service_tier"):
            body[name] = getattr(head, name)
        return clean({**body, PROVIDER_FIELDS: self._extras})
