"""The Anthropic messages wire: a request as `POST /v1/messages`, a message as a chat.completion."""

from collections.abc import Mapping

import msgspec

from jobs.chat import Answer, ChatRequest
from jobs.failures import Failure, FailureKind
from routing.catalog import Target
from routing.dialects.anthropic_errors import classify, classify_in_band
from routing.dialects.anthropic_request import HANDLED, build
from routing.dialects.anthropic_shape import Message, read_block, read_message, settle
from routing.dialects.anthropic_stream import AnthropicStreamDecoder
from routing.dialects.anthropic_usage import is_odd, read_usage
from routing.dialects.base import Asking, StreamDecoder, Unsupported, WireReply, WireRequest
from routing.dialects.completions import shown_usage
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.parts import CannotCarry
from routing.dialects.reading import understood
from routing.dialects.stream_writer import StreamWriter, TooMany

PATH = "/v1/messages"
VERSION = "2023-06-01"
"""Of the API; the only one since, and the SDK's."""
HEADERS = {"content-type": "application/json", "accept": "application/json", "anthropic-version": VERSION}
STREAM_HEADERS = {**HEADERS, "accept": "text/event-stream"}


class AnthropicDialect:
    """Implements `routing.dialects.base.Dialect`; it has no state, so one serves all calls.

    >>> AnthropicDialect().key_headers("sk-ant-1")
    {'x-api-key': 'sk-ant-1'}
    """

    def key_headers(self, key: str) -> Mapping[str, str]:
        """Headers that authenticate."""
        return {"x-api-key": key}

    def encode(self, request: ChatRequest, target: Target, asking: Asking) -> WireRequest | Unsupported:
        """The request as a messages body; never raises. Log-probabilities that a policy needs cannot be had here."""
        asked = understood(request, HANDLED)
        if isinstance(asked, Unsupported):
            return asked
        conversation, toolkit, rest = asked
        try:
            built = build(request, conversation, toolkit, target)
        except CannotCarry as stop:
            return stop.unsupported
        return WireRequest(
            path=PATH,
            headers=STREAM_HEADERS if request.wants_stream else HEADERS,
            body=msgspec.json.encode(built.body),
            is_stream=request.wants_stream,
            is_json_told=built.is_json_told,
            adaptations=(*toolkit.adaptations, *built.adaptations, *rest),
        )

    def decode(self, reply: WireReply) -> Answer | Failure:
        """A whole reply of any status; never raises for what a provider may send."""
        if reply.status != 200:
            return classify(reply)
        try:
            return answer_of(read_message(reply.body), reply)
        except UNREADABLE:
            return classify(reply)
        except TooMany:
            return failure(FailureKind.MALFORMED, "too_many_parts")

    def decode_stream(self) -> StreamDecoder:
        """A fresh decoder for one streamed call whose status was 200."""
        return AnthropicStreamDecoder(self.decode)

    def classify(self, reply: WireReply) -> Failure:
        """The failure that an error reply means, by code, type and status."""
        return classify(reply)


def answer_of(message: Message, reply: WireReply) -> Answer | Failure:
    """Judge a message by its shape. Raises one of UNREADABLE for blocks that are none, and stream_writer.TooMany."""
    if message.error is not None:
        return classify_in_band(message.error)
    if message.content is None:
        return classify(reply)
    if message.stop_reason is None:
        return failure(FailureKind.TRUNCATED, "no_stop_reason")
    blocks = [read_block(raw) for raw in message.content]
    if any(block.is_nameless for block in blocks):
        return failure(FailureKind.MALFORMED, "tool_call_without_name")
    writer = StreamWriter()
    writer.head = {"id": message.id or "", "created": 0, "model": message.model or ""}
    choice = writer.choice(0)
    for block in blocks:
        block.open(choice)
        block.close(choice)
    if message.stop_details is not None and message.stop_details.explanation:
        choice.say("refusal", message.stop_details.explanation)
    settle(writer, message, blocks)
    usage = read_usage(message.usage)
    odd = is_odd(message.usage, usage)
    if odd:
        writer.note({"usage": message.usage})
    return writer.answer(usage, shown_usage(usage), is_odd=odd)
