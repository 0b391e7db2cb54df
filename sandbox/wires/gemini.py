"""Gemini's generateContent wire: responses, streams of them, and errors. No I/O."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from sandbox.answers import ANY_OBJECT
from sandbox.pieces import Piece
from sandbox.speech import Ask, Call, Refusal, Said, Tokens, Tool, Toolbox, TooLong, Turn
from sandbox.wires.base import Arrived, Headers
from sandbox.wires.gemini_checks import check, plain
from sandbox.wires.gemini_request import Content, FunctionDeclaration, GenerateCall, camel
from sandbox.wires.signatures import is_ours, signature

BASE = "/gemini/v1beta/models/"
METHOD = re.compile(re.escape(BASE) + r"(?P<model>.+):(?P<verb>generateContent|streamGenerateContent)")
FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
UNSIGNED = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
"""What Google's guide to thought signatures allows instead of one that another model did not give."""
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""By HTTP status (google.rpc.Code); others are UNKNOWN."""
_MODES = {"ANY": "forced", "NONE": "none"}


class GeminiWire:
    """Implements `sandbox.wires.base.Wire`."""

    prefix = "resp"

    def key(self, headers: Arrived, query: str) -> str | None:
        """`x-goog-api-key`, or `key` of the query."""
        asked: str | None = parse_qs(query).get("key", [None])[0]
        return headers.get("x-goog-api-key", asked)

    def wrong_key(self) -> Refusal:
        """As Gemini says it."""
        return Refusal(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")

    def parse(self, raw: bytes, path: str, query: str) -> Ask:
        """Read and check a request. Raises Refusal (400, 404)."""
        found = METHOD.fullmatch(path)
        if found is None:
            raise Refusal(404, f"Not found: {path}")
        is_stream = found["verb"] == "streamGenerateContent"
        if is_stream and parse_qs(query).get("alt") != ["sse"]:
            raise Refusal(400, "The sandbox streams server-sent events only: add ?alt=sse")
        try:
            call = msgspec.convert(camel(msgspec.json.decode(raw)), GenerateCall)
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at `$")
            where = place.strip("`.")
            raise Refusal(400, f"Invalid JSON payload received. {what} at '{where}': Cannot find field.") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, "Invalid JSON payload received.") from error
        check(call)
        return _ask(call, found["model"], is_stream=is_stream)

    def body(self, said: Said) -> bytes:
        """A GenerateContentResponse."""
        last = {"finishReason": FINISH_REASONS[said.reply.finish_reason]}
        logprobs = _logprobs(said, said.reply.pieces)
        found = [_candidate(index, list(_parts(said)), {**last, **logprobs}) for index in range(said.ask.choices)]
        return msgspec.json.encode(_response(said, found, said.usage))

    def frames(self, said: Said) -> list[bytes]:
        """One response a piece; the last has the finish reason, each the usage so far."""
        found = []
        for index in range(said.ask.choices):
            chunks = list(_chunks(said)) or [([{"text": ""}], {})]
            for place, (parts, logprobs) in enumerate(chunks):
                is_last = place == len(chunks) - 1
                more = {"finishReason": FINISH_REASONS[said.reply.finish_reason]} if is_last else {}
                usage = said.usage if said.usage is None or is_last else Tokens(said.usage.input, 0)
                found.append(_event(_response(said, [_candidate(index, parts, {**more, **logprobs})], usage)))
        return found

    def torn_frame(self) -> bytes:
        """A response whose JSON breaks off."""
        return b'data: {"candidates": [{"content": {"parts": [{"text": "\r\n\r\n'

    def last_frame(self) -> bytes:
        """Nothing: the body ends."""
        return b""

    def error_frame(self, refusal: Refusal) -> bytes:
        """The error object as an event."""
        return _event(_error(refusal, None))

    def error(self, refusal: Refusal, retry_after_s: float | None = None) -> tuple[bytes, Headers]:
        """A google.rpc.Status; when to come again stands in its details, not in a header."""
        return msgspec.json.encode(_error(refusal, retry_after_s)), []

    def is_text(self, *, is_stream: bool) -> bool:
        """An object, always."""
        return False


def _ask(call: GenerateCall, model: str, *, is_stream: bool) -> Ask:
    config = call.generation_config
    told = call.system_instruction
    thinking = config.thinking_config
    return Ask(
        model=model,
        system=_words(told) if told is not None else "",
        turns=tuple(turn for content in call.contents for turn in _turns(content)),
        is_stream=is_stream,
        choices=config.candidate_count,
        has_logprobs=bool(config.response_logprobs),
        top_logprobs=config.logprobs or 0,
        max_output_tokens=config.max_output_tokens,
        schema=_schema(call),
        toolbox=_toolbox(call),
        has_thoughts=thinking is not None and bool(thinking.include_thoughts),
    )


def _turns(content: Content) -> Iterator[Turn]:
    told = []
    for part in content.parts:
        if part.function_response is not None:
            given = part.function_response.response
            text = given["result"] if isinstance(given.get("result"), str) and len(given) == 1 else None
            yield Turn("tool", text or msgspec.json.encode(given).decode(), part.function_response.name)
        if part.function_call is not None:
            call = part.function_call
            told.append(f"{call.name} {msgspec.json.encode(call.args).decode()}")
            if part.thought_signature is not None:
                _check_signature(call.name, part.thought_signature)
    words = "\n".join(filter(None, (_words(content), *told)))
    if content.role == "model" or words:
        yield Turn("assistant" if content.role == "model" else "user", words)


def _check_signature(name: str, given: str) -> None:
    """Raises Refusal (400) for a signature that is not the sandbox's own for a call of this function."""
    if given not in UNSIGNED and not is_ours(name, given):
        raise Refusal(400, "Thought signature is not valid.")


def _words(content: Content) -> str:
    return "\n".join(part.text for part in content.parts if part.text is not None and not part.thought)


def _schema(call: GenerateCall) -> dict[str, Any] | None:
    config = call.generation_config
    if config.response_json_schema is not None:
        return config.response_json_schema
    if config.response_schema is not None:
        return plain(config.response_schema)
    return dict(ANY_OBJECT) if config.response_mime_type == "application/json" else None


def _toolbox(call: GenerateCall) -> Toolbox:
    config = call.tool_config.function_calling_config if call.tool_config is not None else None
    tools = tuple(Tool(function.name, _parameters(function)) for function in call.functions)
    if config is None:
        return Toolbox(tools)
    mode: Any = _MODES.get(config.mode, "auto")
    return Toolbox(tools, mode, tuple(config.allowed_function_names or ()))


def _parameters(function: FunctionDeclaration) -> dict[str, Any]:
    if function.parameters is not None:
        return plain(function.parameters)
    return function.parameters_json_schema or {"type": "object", "properties": {}}


def _parts(said: Said) -> Iterator[dict[str, Any]]:
    reply = said.reply
    if reply.thoughts:
        yield {"text": "".join(piece.text for piece in reply.thoughts), "thought": True}
    if reply.pieces:
        yield {"text": reply.text}
    yield from _calls(said)


def _calls(said: Said) -> Iterator[dict[str, Any]]:
    """Each call in a part of its own, whole; the first is signed where thoughts were asked for, as Gemini 3 does."""
    for place, call in enumerate(said.reply.calls):
        part: dict[str, Any] = {"functionCall": _call(call)}
        if said.ask.has_thoughts and place == 0:
            part["thoughtSignature"] = signature(call.name)
        yield part


def _call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "args": msgspec.Raw(call.arguments.encode())}


def _chunks(said: Said) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Parts and log-probabilities, chunk by chunk."""
    for piece in said.reply.thoughts:
        yield [{"text": piece.text, "thought": True}], {}
    for piece in said.reply.pieces:
        yield [{"text": piece.text}], _logprobs(said, (piece,))
    for part in _calls(said):
        yield [part], {}


def _candidate(index: int, parts: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"}
    if parts:
        content["parts"] = parts
    return {"content": content, "index": index, **more}


def _response(said: Said, candidates: list[dict[str, Any]], usage: Tokens | None) -> dict[str, Any]:
    body: dict[str, Any] = {"candidates": candidates, "modelVersion": said.ask.model, "responseId": said.id}
    return body if usage is None else {**body, "usageMetadata": _usage(usage)}


def _usage(tokens: Tokens) -> dict[str, int]:
    """Thoughts stand beside the candidates' tokens, not inside; what is nought is left out."""
    counts = {
        "promptTokenCount": tokens.input,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.thought,
        "totalTokenCount": tokens.input + tokens.output + tokens.thought,
    }
    return {key: count for key, count in counts.items() if count}


def _logprobs(said: Said, pieces: tuple[Piece, ...]) -> dict[str, Any]:
    """`logprobsResult`; nothing also when asked for but not known, as in prose."""
    if not said.ask.has_logprobs or not pieces or any(piece.logprob is None for piece in pieces):
        return {}
    chosen = [{"token": piece.text, "logProbability": piece.logprob} for piece in pieces]
    tops = [
        {"candidates": [{"token": token, "logProbability": log} for token, log in piece.alternatives]}
        for piece in pieces
    ]
    mean = sum(piece.logprob or 0.0 for piece in pieces) / len(pieces)
    return {"avgLogprobs": mean, "logprobsResult": {"chosenCandidates": chosen, "topCandidates": tops}}


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\r\n\r\n"


def _error(refusal: Refusal, retry_after_s: float | None) -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if refusal.code is not None:
        info = {"reason": refusal.code, "domain": "googleapis.com"}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info})
    if retry_after_s is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_s:g}s"})
    message = refusal.message
    if isinstance(refusal, TooLong):
        message = (
            f"The input token count ({refusal.tokens}) exceeds the maximum number of tokens allowed ({refusal.limit})."
        )
        details = []
    error = {"code": refusal.status, "message": message, "status": STATUSES.get(refusal.status, "UNKNOWN")}
    return {"error": {**error, "details": details} if details else error}
