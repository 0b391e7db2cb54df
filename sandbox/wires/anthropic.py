"""Anthropic's messages wire: messages, stream events and errors. No I/O."""

from collections.abc import Iterator
from typing import Any

import msgspec

from sandbox.pieces import prose_pieces
from sandbox.speech import Ask, Call, Refusal, Said, Tokens, Tool, Toolbox, TooLong, Turn
from sandbox.wires.anthropic_checks import check, turns_of
from sandbox.wires.anthropic_request import (
    Block,
    MessagesCall,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    texts,
)
from sandbox.wires.base import Arrived, Headers, retry_header
from sandbox.wires.signatures import is_ours, signature

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status; others are `api_error` from 500 on and `invalid_request_error` below."""
_MODES = {"any": "forced", "tool": "forced", "none": "none", "auto": "auto"}
_decoder = msgspec.json.Decoder(MessagesCall)


class AnthropicWire:
    """Implements `sandbox.wires.base.Wire`."""

    prefix = "msg"

    def key(self, headers: Arrived, query: str) -> str | None:
        """`x-api-key`. Raises Refusal (400) without `anthropic-version`."""
        if "anthropic-version" not in headers:
            raise Refusal(400, "anthropic-version: header is required")
        return headers.get("x-api-key")

    def wrong_key(self) -> Refusal:
        """As Anthropic says it."""
        return Refusal(401, "invalid x-api-key")

    def parse(self, raw: bytes, path: str, query: str) -> Ask:
        """Read and check a request. Raises Refusal (400)."""
        try:
            call = _decoder.decode(raw)
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at `$")
            path = place.strip("`.").replace("[", ".").replace("]", "")
            raise Refusal(400, f"{path}: {what}" if path else what) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, "The request body is not valid JSON") from error
        check(call)
        return _ask(call)

    def body(self, said: Said) -> bytes:
        """A `message`."""
        message = _head(said)
        message["content"] = list(_blocks(said))
        message["stop_reason"] = STOP_REASONS[said.reply.finish_reason]
        message |= {} if said.usage is None else {"usage": _usage(said.usage)}
        return msgspec.json.encode(message)

    def frames(self, said: Said) -> list[bytes]:
        """`message_start`, a `ping`, each block in pieces, `message_delta` with the whole usage, `message_stop`."""
        opened = _head(said)
        if said.usage is not None:
            opened["usage"] = _usage(Tokens(said.usage.input, min(1, said.usage.output)))
        found = [_event("message_start", message=opened), _event("ping")]
        for index, block in enumerate(_blocks(said)):
            found += _streamed(index, block)
        delta = {"stop_reason": STOP_REASONS[said.reply.finish_reason], "stop_sequence": None}
        usage = {} if said.usage is None else {"usage": _usage(said.usage)}
        return [*found, _event("message_delta", delta=delta, **usage), _event("message_stop")]

    def torn_frame(self) -> bytes:
        """A delta whose JSON breaks off."""
        return b'event: content_block_delta\ndata: {"type": "content_block_delta, "index": 0, "delta": {\n\n'

    def last_frame(self) -> bytes:
        """`message_stop`."""
        return _event("message_stop")

    def error_frame(self, refusal: Refusal) -> bytes:
        """An `error` event."""
        return b"event: error\ndata: " + msgspec.json.encode(_error(refusal)) + b"\n\n"

    def error(self, refusal: Refusal, retry_after_s: float | None = None) -> tuple[bytes, Headers]:
        """Anthropic's error object; its type follows from the status."""
        return msgspec.json.encode(_error(refusal)), retry_header(retry_after_s)

    def is_text(self, *, is_stream: bool) -> bool:
        """An object in whole messages, pieces of text in streams."""
        return is_stream


def _ask(call: MessagesCall) -> Ask:
    output = call.output_config
    return Ask(
        model=call.model,
        system=call.system if isinstance(call.system, str) else texts(call.system or []),
        turns=tuple(_turns(call)),
        is_stream=call.stream,
        max_output_tokens=call.max_tokens,
        schema=None if output is None or output.format is None else output.format.schema,
        toolbox=_toolbox(call),
        has_thoughts=call.thinks,
    )


def _turns(call: MessagesCall) -> Iterator[Turn]:
    names: dict[str, str] = {}
    for role, blocks in turns_of(call):
        names |= {block.id: block.name for block in blocks if isinstance(block, ToolUseBlock)}
        yield from (
            Turn("tool", block.text, names[block.tool_use_id]) for block in blocks if isinstance(block, ToolResultBlock)
        )
        _check_thoughts(blocks)
        told = [f"{b.name} {msgspec.json.encode(b.input).decode()}" for b in blocks if isinstance(b, ToolUseBlock)]
        words = "\n".join(filter(None, (texts(blocks), *told)))
        if role == "assistant" or words:
            yield Turn("assistant" if role == "assistant" else "user", words)


def _check_thoughts(blocks: list[Block]) -> None:
    """Raises Refusal (400) for thoughts that are not the sandbox's own, byte for byte."""
    for block in blocks:
        if isinstance(block, ThinkingBlock) and not is_ours(block.thinking, block.signature):
            raise Refusal(400, "messages: Invalid `signature` in `thinking` block")


def _toolbox(call: MessagesCall) -> Toolbox:
    tools = tuple(Tool(tool.name, tool.input_schema) for tool in call.tools or ())
    choice = call.tool_choice
    if choice is None:
        return Toolbox(tools)
    allowed = (choice.name,) if choice.name is not None else ()
    return Toolbox(tools, _MODES[choice.type], allowed, not choice.disable_parallel_tool_use)  # type: ignore[arg-type]


def _head(said: Said) -> dict[str, Any]:
    return {
        "id": said.id,
        "type": "message",
        "role": "assistant",
        "model": said.ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(said: Said) -> Iterator[dict[str, Any]]:
    reply = said.reply
    if reply.thoughts:
        thought = "".join(piece.text for piece in reply.thoughts)
        yield {"type": "thinking", "thinking": thought, "signature": signature(thought)}
    if reply.pieces:
        yield {"type": "text", "text": reply.text}
    for call in reply.calls:
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": _input(call)}


def _input(call: Call) -> Any:
    return msgspec.Raw(call.arguments.encode())


def _streamed(index: int, block: dict[str, Any]) -> list[bytes]:
    """One block as the events that open it, fill it and close it."""
    match block:
        case {"type": "thinking", "thinking": str(thought), "signature": str(mark)}:
            opened = {**block, "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece.text} for piece in prose_pieces(thought)]
            deltas.append({"type": "signature_delta", "signature": mark})
        case {"type": "text", "text": str(text)}:
            opened = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": piece.text} for piece in prose_pieces(text)]
        case _:
            opened = {**block, "input": {}}
            pieces = ["", *(piece.text for piece in prose_pieces(bytes(block["input"]).decode()))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        _event("content_block_start", index=index, content_block=opened),
        *(_event("content_block_delta", index=index, delta=delta) for delta in deltas),
        _event("content_block_stop", index=index),
    ]


def _event(name: str, **more: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode({"type": name, **more}) + b"\n\n"


def _usage(tokens: Tokens) -> dict[str, Any]:
    """Input without what a cache gave (here nothing), output with the thoughts inside, as this wire counts."""
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens.output + tokens.thought,
        "output_tokens_details": {"thinking_tokens": tokens.thought},
    }


def _error(refusal: Refusal) -> dict[str, Any]:
    message = refusal.message
    if isinstance(refusal, TooLong):
        message = f"prompt is too long: {refusal.tokens} tokens > {refusal.limit} maximum"
    kind = ERROR_TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}
