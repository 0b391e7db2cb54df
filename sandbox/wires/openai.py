"""OpenAI's chat-completions wire: completions, chunks and errors. No I/O."""

from typing import Any

import msgspec

from sandbox.pieces import Piece, prose_pieces
from sandbox.speech import Ask, Call, Refusal, Said, Tokens
from sandbox.wires.base import Arrived, Headers, retry_header
from sandbox.wires.openai_request import parse

DONE = b"data: [DONE]\n\n"
_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIWire:
    """Implements `sandbox.wires.base.Wire`."""

    prefix = "chatcmpl"

    def key(self, headers: Arrived, query: str) -> str | None:
        """The bearer token."""
        given = headers.get("authorization")
        return None if given is None else given.removeprefix("Bearer ")

    def wrong_key(self) -> Refusal:
        """As OpenAI says it."""
        return Refusal(401, "Incorrect API key provided.", code="invalid_api_key")

    def parse(self, raw: bytes, path: str, query: str) -> Ask:
        """Read and check a request. Raises Refusal (400) naming the field."""
        return parse(raw)

    def body(self, said: Said) -> bytes:
        """A `chat.completion`."""
        reply = said.reply
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.calls:
            message |= {"content": None, "tool_calls": [_call(call) for call in reply.calls]}
        choice = {
            "message": message,
            "logprobs": _logprobs(said, reply.pieces),
            "finish_reason": reply.finish_reason,
        }
        body = _head(said, "chat.completion")
        body["choices"] = [{"index": index, **choice} for index in range(said.ask.choices)]
        if said.usage is not None:
            body["usage"] = _usage(said.usage)
        return msgspec.json.encode(body)

    def frames(self, said: Said) -> list[bytes]:
        """Per choice role, tokens, calls, finish; then usage if asked for; then `[DONE]`."""
        head = _head(said, "chat.completion.chunk")
        if said.ask.has_usage_chunk:
            head["usage"] = None
        found = []
        for index in range(said.ask.choices):
            opening = {"role": "assistant", "content": None if said.reply.calls else "", "refusal": None}
            found.append(_frame(head, index, opening, None))
            found += [_frame(head, index, {"content": p.text}, _logprobs(said, (p,))) for p in said.reply.pieces]
            found += [_frame(head, index, {"tool_calls": [delta]}, None) for delta in _deltas(said.reply.calls)]
            found.append(_frame(head, index, {}, None, said.reply.finish_reason))
        if said.ask.has_usage_chunk and said.usage is not None:
            found.append(event({**head, "choices": [], "usage": _usage(said.usage)}))
        return [*found, DONE]

    def torn_frame(self) -> bytes:
        """A chunk whose JSON breaks off."""
        return b'data: {"id": "chatcmpl-, "choices": [{\n\n'

    def last_frame(self) -> bytes:
        """`[DONE]`."""
        return DONE

    def error_frame(self, refusal: Refusal) -> bytes:
        """The error object as an event."""
        return event(_error(refusal))

    def error(self, refusal: Refusal, retry_after_s: float | None = None) -> tuple[bytes, Headers]:
        """OpenAI's error object; its type follows from the status."""
        return msgspec.json.encode(_error(refusal)), retry_header(retry_after_s)

    def is_text(self, *, is_stream: bool) -> bool:
        """Arguments are a string."""
        return True


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def model_list(models: dict[str, int], provider: str) -> bytes:
    """The reply to GET /v1/models; `models` maps names to when they were made, in epoch seconds."""
    rows = [{"id": name, "object": "model", "created": at, "owned_by": provider} for name, at in models.items()]
    return msgspec.json.encode({"object": "list", "data": rows})


def _error(refusal: Refusal) -> dict[str, Any]:
    kind = _ERROR_TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}}


def _head(said: Said, kind: str) -> dict[str, Any]:
    return {
        "id": said.id,
        "object": kind,
        "created": said.created_s,
        "model": said.ask.model,
        "system_fingerprint": f"fp_{said.provider}",
    }


def _frame(head: dict[str, Any], index: int, delta: dict[str, Any], logprobs: Any, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return event({**head, "choices": [choice]})


def _call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _deltas(calls: tuple[Call, ...]) -> list[dict[str, Any]]:
    """Each call as OpenAI streams it: id and name first with empty arguments, then the arguments piece by piece."""
    found = []
    for index, call in enumerate(calls):
        opened = _call(msgspec.structs.replace(call, arguments=""))
        found.append({"index": index, **opened})
        found += [{"index": index, "function": {"arguments": p.text}} for p in prose_pieces(call.arguments)]
    return found


def _usage(tokens: Tokens) -> dict[str, int]:
    made = tokens.output + tokens.thought
    return {"prompt_tokens": tokens.input, "completion_tokens": made, "total_tokens": tokens.input + made}


def _logprobs(said: Said, pieces: tuple[Piece, ...]) -> dict[str, Any] | None:
    """None also when asked for but not known: prose has no probabilities, and inventing some would be a lie."""
    if not said.ask.has_logprobs or not pieces or any(piece.logprob is None for piece in pieces):
        return None
    return {"content": [_token(p) for p in pieces], "refusal": None}


def _token(piece: Piece) -> dict[str, Any]:
    tops = [{"token": t, "logprob": log, "bytes": list(t.encode())} for t, log in piece.alternatives]
    return {
        "token": piece.text,
        "logprob": piece.logprob,
        "bytes": list(piece.text.encode()),
        "top_logprobs": tops,
    }
