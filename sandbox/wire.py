"""OpenAI's chat-completions JSON: requests in, completions, chunks and errors out. No I/O."""

from typing import Any, Literal

import msgspec

from sandbox.pieces import Piece

MAX_BODY_BYTES = 8_000_000
MAX_CHOICES = 128
DONE = b"data: [DONE]\n\n"


class WireError(Exception):
    """A refusal in OpenAI's shape: an HTTP status and the four fields of its error object."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, param=param, code=code)


class Part(msgspec.Struct):
    """One part of a message's content; only text is read."""

    type: str
    text: str = ""


class Message(msgspec.Struct):
    """One message; unknown fields are let through, as OpenAI does."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The text, parts joined by line breaks."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.type == "text")


class JsonSchema(msgspec.Struct):
    """What `response_format.json_schema` holds."""

    name: str
    schema: dict[str, Any] = {}


class ResponseFormat(msgspec.Struct):
    """How the answer must look."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    """Extras of a stream."""

    include_usage: bool | None = None


class ChatCall(msgspec.Struct):
    """A request. Sampling parameters, stop words and tools are accepted and change nothing: the models only sort."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None

    @property
    def choices(self) -> int:
        """How many times the answer is given (and billed)."""
        return self.n or 1

    @property
    def max_output_tokens(self) -> int | None:
        """The caller's cap on one choice."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage_chunk(self) -> bool:
        """A last chunk with the usage was asked for."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is said in reply, whole or in chunks. `usage` None leaves it out (a fault)."""

    id: str
    created_s: int
    model: str
    provider: str
    pieces: tuple[Piece, ...]
    finish_reason: Literal["stop", "length"]
    choices: int
    has_logprobs: bool
    usage: tuple[int, int] | None
    """Input and output tokens as told to the caller."""


_decoder = msgspec.json.Decoder(ChatCall)


def parse(raw: bytes) -> ChatCall:
    """Read and check a request. Raises WireError (400) naming the field."""
    try:
        call = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise WireError(400, f"Invalid request: {what}", param=path.strip("`.") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(400, "We could not parse the JSON body of your request.") from error
    _check(call)
    return call


def _check(call: ChatCall) -> None:
    if not call.messages:
        raise WireError(400, "messages must not be empty", param="messages")
    for name, value, low, high in (
        ("n", call.n, 1, MAX_CHOICES),
        ("top_logprobs", call.top_logprobs, 0, 20),
        ("max_tokens", call.max_tokens, 1, None),
        ("max_completion_tokens", call.max_completion_tokens, 1, None),
    ):
        if value is not None and (value < low or (high is not None and value > high)):
            raise WireError(400, f"{name} is out of range: {value}", param=name, code="invalid_value")
    if call.top_logprobs is not None and not call.logprobs:
        raise WireError(400, "top_logprobs needs logprobs to be true", param="top_logprobs")
    if call.stream_options is not None and not call.stream:
        raise WireError(400, "stream_options needs stream to be true", param="stream_options")
    wanted = call.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        raise WireError(400, "json_schema is missing", param="response_format.json_schema")


_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error object; its type follows from the status."""
    kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def completion_body(said: Completion) -> bytes:
    """A `chat.completion`."""
    choice = {
        "message": {"role": "assistant", "content": "".join(p.text for p in said.pieces), "refusal": None},
        "logprobs": _logprobs(said, said.pieces),
        "finish_reason": said.finish_reason,
    }
    body = _head(said, "chat.completion")
    body["choices"] = [{"index": index, **choice} for index in range(said.choices)]
    if said.usage is not None:
        body["usage"] = _usage(said.usage)
    return msgspec.json.encode(body)


def frames(said: Completion, *, with_usage: bool) -> list[bytes]:
    """The same as server-sent events: per choice role, tokens, finish; then usage if asked for; then `[DONE]`."""
    head = _head(said, "chat.completion.chunk")
    if with_usage:
        head["usage"] = None
    found = []
    for index in range(said.choices):
        found.append(_frame(head, index, {"role": "assistant", "content": "", "refusal": None}, None))
        found += [_frame(head, index, {"content": p.text}, _logprobs(said, (p,))) for p in said.pieces]
        found.append(_frame(head, index, {}, None, said.finish_reason))
    if with_usage and said.usage is not None:
        found.append(event({**head, "choices": [], "usage": _usage(said.usage)}))
    return [*found, DONE]


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def model_list(models: dict[str, int], provider: str) -> bytes:
    """The reply to GET /v1/models; `models` maps names to when they were made, in epoch seconds."""
    rows = [{"id": name, "object": "model", "created": at, "owned_by": provider} for name, at in models.items()]
    return msgspec.json.encode({"object": "list", "data": rows})


def _head(said: Completion, kind: str) -> dict[str, Any]:
    fingerprint = f"fp_{said.provider}"
    return {
        "id": said.id,
        "object": kind,
        "created": said.created_s,
        "model": said.model,
        "system_fingerprint": fingerprint,
    }


def _frame(head: dict[str, Any], index: int, delta: dict[str, Any], logprobs: Any, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return event({**head, "choices": [choice]})


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


def _logprobs(said: Completion, pieces: tuple[Piece, ...]) -> dict[str, Any] | None:
    """None also when asked for but not known: prose has no probabilities, and inventing some would be a lie."""
    if not said.has_logprobs or any(piece.logprob is None for piece in pieces):
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
