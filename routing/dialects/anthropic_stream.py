"""Reads a streamed Anthropic message: OpenAI chunks as it goes, and the whole answer at its end.

`message_stop` is the terminal marker: without it the answer is truncated, however whole it looks. Usage in
`message_delta` is cumulative, so it replaces what `message_start` said. Events of unknown types are passed over.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.anthropic_blocks import THOUGHTS
from routing.dialects.anthropic_errors import classify_in_band
from routing.dialects.anthropic_shape import (
    ContentBlock,
    Message,
    StopDetails,
    call_of,
    finish_of,
    kept_fields,
    read_usage,
    said,
)
from routing.dialects.anthropic_tools import ANSWER_TOOL
from routing.dialects.base import Delta, WireReply
from routing.dialects.completions import (
    Head,
    SaidCall,
    call_more,
    call_start,
    chunk,
    completion,
    encrypted_detail,
    first_chunk,
    last_chunk,
    text_detail,
    usage_chunk,
)
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.sse import Event, EventReader, Oversized


class BlockDelta(msgspec.Struct, frozen=True):
    """What one event adds to a block, or to the message."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class StreamEvent(msgspec.Struct, frozen=True):
    """Any event, by what it may hold."""

    type: str | None = None
    index: int | None = None
    message: Message | None = None
    content_block: ContentBlock | None = None
    delta: BlockDelta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_event = msgspec.json.Decoder(StreamEvent)


class _Growing:
    """A block in the making."""

    def __init__(self, block: ContentBlock, place: int) -> None:
        self.block = block
        self.place = place
        """Of a call among the calls, of thoughts among the thoughts."""
        self.pieces: list[str] = []
        self.signature: list[str] = []

    @property
    def whole(self) -> ContentBlock:
        """The block as it would stand in an unstreamed reply."""
        added = "".join(self.pieces)
        match self.block.type:
            case "text":
                return msgspec.structs.replace(self.block, text=(self.block.text or "") + added)
            case "thinking":
                signature = (self.block.signature or "") + "".join(self.signature)
                thought = (self.block.thinking or "") + added
                return msgspec.structs.replace(self.block, thinking=thought, signature=signature or None)
            case "tool_use" if added:
                return msgspec.structs.replace(self.block, input=msgspec.Raw(added.encode()))
        return self.block


class AnthropicStreamDecoder:
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
        self._message: Message | None = None
        self._head = Head("", "")
        self._blocks: dict[int, _Growing] = {}
        self._counts = {"tool_use": 0, "thoughts": 0}
        self._usage: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith(b"{") else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) for delta in self._take(event)]

    def finish(self) -> Answer | Failure:
        """The body ended: the whole answer, or a failure (truncated without `message_stop`, an in-band error)."""
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        last = self._reader.flush()
        if last is not None:
            self._take(last)
        if self._failure is not None:
            return self._failure
        if not self._is_done or self._message is None:
            return failure(FailureKind.TRUNCATED, "no_message_stop")
        if self._message.stop_reason is None:
            return failure(FailureKind.TRUNCATED, "no_stop_reason")
        return self._answer(self._message)

    def _answer(self, message: Message) -> Answer | Failure:
        blocks = [growing.whole for _, growing in sorted(self._blocks.items())]
        if any(block.type == "tool_use" and not block.name for block in blocks):
            return failure(FailureKind.MALFORMED, "tool_call_without_name")
        refusal = message.stop_details.explanation if message.stop_details is not None else None
        whole = msgspec.structs.replace(message, usage=self._usage)
        said_now = said(blocks, refusal)
        finish = finish_of(whole, said_now)
        return completion(self._head, said_now, finish, read_usage(self._usage), kept_fields(whole))

    def _take(self, event: Event | Oversized) -> list[Delta]:
        if self._is_done or self._failure is not None:
            return []
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return []
        try:
            event.data.decode()  # msgspec does not check the UTF-8 of fields that it skips
            read = _event.decode(event.data)
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_event")
            return []
        return self._added(read)

    def _added(self, event: StreamEvent) -> list[Delta]:
        match event:
            case StreamEvent(type="message_start", message=Message() as message):
                return self._start(message)
            case StreamEvent(type="content_block_start", index=int(index), content_block=ContentBlock() as block):
                return self._open(index, block)
            case StreamEvent(type="content_block_delta", index=int(index), delta=BlockDelta() as delta):
                return self._grow(index, delta)
            case StreamEvent(type="content_block_stop", index=int(index)):
                return self._close(index)
            case StreamEvent(type="message_delta"):
                return self._end(event)
            case StreamEvent(type="message_stop"):
                self._is_done = True
            case StreamEvent(type="error"):
                self._failure = classify_in_band(event.error)
        return []

    def _start(self, message: Message) -> list[Delta]:
        self._message = msgspec.structs.replace(message, stop_reason=None)
        self._usage = dict(message.usage or {})
        self._head = Head(message.id or "", message.model or "")
        return [first_chunk(self._head)]

    def _open(self, index: int, block: ContentBlock) -> list[Delta]:
        kind = "thoughts" if block.type in {"thinking", "redacted_thinking"} else block.type
        is_answer = block.type == "tool_use" and block.name == ANSWER_TOOL
        place = self._counts.get(kind, 0)
        if kind in self._counts and not is_answer:
            self._counts[kind] = place + 1
        self._blocks[index] = _Growing(block, place)
        match block.type:
            case "text" if block.text:
                return [chunk(self._head, {"content": block.text})]
            case "thinking" if block.thinking:
                return [chunk(self._head, {"reasoning_content": block.thinking})]
            case "tool_use" if not is_answer:
                named = call_of(block)
                return [chunk(self._head, call_start(place, SaidCall(named.id, named.name, "")))]
            case "redacted_thinking":
                return self._detail(encrypted_detail(block.data or "", THOUGHTS, place))
        return []

    def _grow(self, index: int, delta: BlockDelta) -> list[Delta]:
        growing = self._blocks.get(index)
        if growing is None:
            self._failure = failure(FailureKind.MALFORMED, "delta_without_block")
            return []
        if delta.type == "signature_delta":
            growing.signature.append(delta.signature or "")
            return []
        piece = {"text_delta": delta.text, "thinking_delta": delta.thinking, "input_json_delta": delta.partial_json}
        text = piece.get(delta.type or "")
        if not text:
            return []  # the first piece of arguments is empty; citations and the like are not ours
        growing.pieces.append(text)
        return [chunk(self._head, _added(growing, text))]

    def _close(self, index: int) -> list[Delta]:
        growing = self._blocks.get(index)
        if growing is None:
            return []
        whole = growing.whole
        if whole.type == "thinking":
            return self._detail(text_detail(whole.thinking or "", whole.signature, THOUGHTS, growing.place))
        if whole.type == "tool_use" and not growing.pieces:
            return [chunk(self._head, _added(growing, call_of(whole).arguments))]
        return []

    def _end(self, event: StreamEvent) -> list[Delta]:
        if self._message is None:
            self._failure = failure(FailureKind.MALFORMED, "end_without_start")
            return []
        self._usage |= {key: value for key, value in (event.usage or {}).items() if value is not None}
        delta = event.delta
        if delta is None or delta.stop_reason is None or self._message.stop_reason is not None:
            return []
        self._message = msgspec.structs.replace(
            self._message,
            stop_reason=delta.stop_reason,
            stop_sequence=delta.stop_sequence,
            stop_details=delta.stop_details,
        )
        blocks = [growing.whole for _, growing in sorted(self._blocks.items())]
        deltas = [last_chunk(self._head, finish_of(self._message, said(blocks, None)))]
        usage = read_usage(self._usage)
        return deltas if usage is None else [*deltas, usage_chunk(self._head, usage)]

    def _detail(self, detail: dict[str, Any]) -> list[Delta]:
        return [chunk(self._head, {"reasoning_details": [detail]}, has_content=False)]


def _added(growing: _Growing, text: str) -> dict[str, Any]:
    """A piece of a block as a delta; the answer tool's arguments are the content."""
    match growing.block.type:
        case "tool_use" if growing.block.name != ANSWER_TOOL:
            return call_more(growing.place, text)
        case "thinking":
            return {"reasoning_content": text}
    return {"content": text}
