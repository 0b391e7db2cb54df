"""Reads a streamed Anthropic message: OpenAI chunks as it goes, and the whole answer at its end.

`message_stop` is the terminal marker: without it the answer is truncated, however whole it looks. Usage in
`message_delta` is cumulative: no count is ever lower than one that came before. Unknown events are passed over.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.anthropic_errors import classify_in_band
from routing.dialects.anthropic_shape import Block, Message, StopDetails, read_block, settle
from routing.dialects.anthropic_usage import is_odd, read_usage
from routing.dialects.base import Delta, WireReply
from routing.dialects.completions import shown_usage
from routing.dialects.counts import Report, highest
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.sse import Event, EventReader, Oversized
from routing.dialects.stream_writer import Body, StreamWriter, TooMany


class BlockDelta(msgspec.Struct, frozen=True):
    """What one event adds to a block, or to the message."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    container: Any = None


class StreamEvent(msgspec.Struct, frozen=True):
    """Any event, by what it may hold."""

    type: str | None = None
    index: int | None = None
    message: Message | None = None
    content_block: msgspec.Raw = msgspec.Raw(b"null")
    delta: BlockDelta | None = None
    usage: dict[str, Any] | None = None
    context_management: Any = None
    error: Any = None


_event = msgspec.json.Decoder(StreamEvent)
_ABSENT = b"null"


class AnthropicStreamDecoder:
    """One streamed call: `feed` bytes as they come, `end` and `finish` once. Never raises for what a provider may send.

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
        self._writer = StreamWriter()
        self._blocks: dict[int, Block] = {}
        self._usage: Report = {}
        self._refusal: str | None = None
        self._late: list[Delta] = []
        """Chunks of what only the end of the body completed."""
        self._outcome: Answer | Failure | None = None

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete. What is told once at the end is held back for `end`."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith(b"{") else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) for delta in self._take(event)]

    def end(self) -> list[Delta]:
        """The body ended: the chunks that end the answer; none when it is not whole."""
        outcome = self.finish()
        if self._plain is not None or isinstance(outcome, Failure):
            return []
        return [*self._late, *self._writer.closing(shown_usage(outcome.usage))]

    def finish(self) -> Answer | Failure:
        """The whole answer, or a failure (truncated without `message_stop`, an in-band error)."""
        if self._outcome is None:
            self._outcome = self._judge()
        return self._outcome

    def _judge(self) -> Answer | Failure:
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        last = self._reader.flush()
        if last is not None:
            self._late = self._take(last)
        if self._failure is not None:
            return self._failure
        if not self._is_done or self._message is None:
            return failure(FailureKind.TRUNCATED, "no_message_stop")
        if self._message.stop_reason is None:
            return failure(FailureKind.TRUNCATED, "no_stop_reason")
        try:
            return self._answer(self._message)
        except UNREADABLE:  # a block of a kind that is only kept
            return failure(FailureKind.MALFORMED, "bad_block")

    def _answer(self, message: Message) -> Answer | Failure:
        blocks = [block for _, block in sorted(self._blocks.items())]
        if any(block.is_nameless for block in blocks):
            return failure(FailureKind.MALFORMED, "tool_call_without_name")
        choice = self._writer.choice(0)
        for block in blocks:
            self._late += self._written(block.close(choice))
        if self._refusal:
            self._late += self._written(choice.say("refusal", self._refusal))
        settle(self._writer, msgspec.structs.replace(message, usage=dict(self._usage)), blocks)
        usage = read_usage(self._usage)
        odd = is_odd(self._usage, usage)
        if odd:
            self._writer.note({"usage": self._usage})
        return self._writer.answer(usage, shown_usage(usage), is_odd=odd)

    def _take(self, event: Event | Oversized) -> list[Delta]:
        if self._is_done or self._failure is not None:
            return []
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return []
        try:
            event.data.decode()  # msgspec does not check the UTF-8 of fields that it skips
            return self._written(self._added(_event.decode(event.data)))
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_event")
        except TooMany:
            self._failure = failure(FailureKind.MALFORMED, "too_many_parts")
        return []

    def _written(self, delta: Body) -> list[Delta]:
        return self._writer.write(self._writer.choice(0), delta, has_content=bool(delta)) if delta else []

    def _added(self, event: StreamEvent) -> Body:
        """What an event adds to the message, as a delta."""
        match event:
            case StreamEvent(type="message_start", message=Message() as message):
                self._start(message)
            case StreamEvent(type="content_block_start", index=int(index)) if event.content_block != _ABSENT:
                return self._open(index, event.content_block)
            case StreamEvent(type="content_block_delta", index=int(index), delta=BlockDelta() as delta):
                return self._grow(index, delta)
            case StreamEvent(type="content_block_stop", index=int(index)) if index in self._blocks:
                return self._blocks[index].close(self._writer.choice(0))
            case StreamEvent(type="message_delta"):
                self._end(event)
            case StreamEvent(type="message_stop"):
                self._is_done = True
            case StreamEvent(type="error"):
                self._failure = classify_in_band(event.error)
        return {}

    def _start(self, message: Message) -> None:
        self._usage = highest(self._usage, message.usage or {})
        if self._message is not None:
            return
        self._message = msgspec.structs.replace(message, stop_reason=None)
        if not self._writer.is_begun:
            self._writer.head = {"id": message.id or "", "created": 0, "model": message.model or ""}

    def _open(self, index: int, raw: msgspec.Raw) -> Body:
        block = read_block(raw)
        known = self._blocks.get(index)
        if known is not None and (known.block.type, known.block.id) == (block.block.type, block.block.id):
            return {}  # said twice
        self._blocks[index] = block
        return block.open(self._writer.choice(0))

    def _grow(self, index: int, delta: BlockDelta) -> Body:
        block = self._blocks.get(index)
        if block is None:
            self._failure = failure(FailureKind.MALFORMED, "delta_without_block")
            return {}
        choice = self._writer.choice(0)
        match delta.type:
            case "text_delta":
                return block.add_text(choice, delta.text or "")
            case "thinking_delta":
                return block.add_thinking(choice, delta.thinking or "")
            case "input_json_delta":
                return block.add_input(choice, delta.partial_json or "")
            case "signature_delta":
                block.add_signature(delta.signature or "")
            case "citations_delta" if delta.citation is not None:
                block.citations.append(delta.citation)
        return {}

    def _end(self, event: StreamEvent) -> None:
        if self._message is None:
            self._failure = failure(FailureKind.MALFORMED, "end_without_start")
            return
        self._usage = highest(self._usage, event.usage or {})
        delta, known = event.delta or BlockDelta(), self._message
        if known.stop_reason is None and delta.stop_reason is not None:
            known = msgspec.structs.replace(
                known, stop_reason=delta.stop_reason, stop_sequence=delta.stop_sequence, stop_details=delta.stop_details
            )
            self._refusal = delta.stop_details.explanation if delta.stop_details is not None else None
        if delta.container is not None:
            known = msgspec.structs.replace(known, container=delta.container)
        if event.context_management is not None:
            known = msgspec.structs.replace(known, context_management=event.context_management)
        self._message = known
