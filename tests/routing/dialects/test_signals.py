"""What can come back from a call, signal by signal, on every wire: its class, and what is done about it.

The rows are those of docs/answers.md. A wire that has no form for a signal has no line for it.
"""

import json
from typing import Any

import pytest

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind, Scope
from routing.dialects.base import Dialect, WireReply
from routing.dialects.registry import DIALECTS
from routing.standing import REMEDIES, Course

K = FailureKind
OPENAI, ANTHROPIC, GEMINI = (DIALECTS[name] for name in ("openai", "anthropic", "gemini"))


def openai_error(status: int, code: str | None = None, **fields: Any) -> WireReply:
    return reply({"error": {"message": "m", "type": None, "param": None, "code": code, **fields}}, status)


def anthropic_error(status: int, kind: str, code: str | None = None) -> WireReply:
    details = {"error_code": code} if code else None
    return reply({"type": "error", "error": {"type": kind, "message": "m", "details": details}}, status)


def gemini_error(status: int, word: str, reason: str | None = None) -> WireReply:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return reply({"error": {"code": status, "message": "m", "status": word, "details": details}}, status)


def reply(body: Any, status: int = 200) -> WireReply:
    return WireReply(status, {}, json.dumps(body).encode())


STATUSES = {
    **dict.fromkeys((408, 409, 500, 502, 503, 504), K.TRANSIENT),
    529: K.OVERLOADED,
    429: K.RATE_LIMITED,
    402: K.NO_CREDIT,
    401: K.BAD_KEY,
    403: K.BAD_KEY,
    404: K.MODEL_NOT_FOUND,
    413: K.OVER_LIMIT,
    424: K.TRANSIENT,
    **dict.fromkeys((400, 422), K.BAD_REQUEST),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error": {}}'])
def test_a_status_alone_tells_enough_on_every_wire(dialect: Dialect, status: int, kind: FailureKind, body: bytes):
    assert dialect.classify(WireReply(status, {}, body)).kind is kind


@pytest.mark.parametrize(
    ("dialect", "signal", "kind"),
    [
        (OPENAI, openai_error(503, "server_is_overloaded"), K.OVERLOADED),
        (ANTHROPIC, anthropic_error(529, "overloaded_error"), K.OVERLOADED),
        (GEMINI, gemini_error(503, "UNAVAILABLE"), K.OVERLOADED),
        (GEMINI, gemini_error(429, "RESOURCE_EXHAUSTED"), K.RATE_LIMITED),
        (GEMINI, gemini_error(403, "PERMISSION_DENIED", "BILLING_DISABLED"), K.NO_CREDIT),
        (GEMINI, gemini_error(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), K.BAD_KEY),
        (OPENAI, openai_error(429, "slow_down"), K.RATE_LIMITED),
        (ANTHROPIC, anthropic_error(429, "rate_limit_error"), K.RATE_LIMITED),
        (OPENAI, openai_error(429, "insufficient_quota"), K.NO_CREDIT),
        (ANTHROPIC, anthropic_error(429, "rate_limit_error", "enforced_spend_limit_reached"), K.NO_CREDIT),
        (ANTHROPIC, anthropic_error(400, "invalid_request_error", "contract_spend_limit_reached"), K.NO_CREDIT),
        (OPENAI, openai_error(400, "tool_use_failed"), K.INVALID_ANSWER),
        (OPENAI, openai_error(400, "json_validate_failed"), K.INVALID_ANSWER),
        (OPENAI, openai_error(400, "context_length_exceeded"), K.CONTEXT_TOO_LONG),
        # An error inside a 200 counts as what it says.
        (OPENAI, reply({"error": {"code": 502, "message": "m"}}), K.TRANSIENT),
        (OPENAI, reply({"error": {"code": 429, "message": "m"}}), K.RATE_LIMITED),
        (OPENAI, reply({"error": {"code": "server_is_overloaded", "message": "m"}}), K.OVERLOADED),
        (ANTHROPIC, anthropic_error(200, "overloaded_error"), K.OVERLOADED),
        (GEMINI, reply({"error": {"code": 503, "status": "UNAVAILABLE"}}), K.OVERLOADED),
    ],
)
def test_what_a_provider_says_beside_its_status(dialect: Dialect, signal: WireReply, kind: FailureKind):
    found = dialect.decode(signal)
    assert isinstance(found, Failure)
    assert found.kind is kind


@pytest.mark.parametrize("dialect", [OPENAI, GEMINI], ids=["its OpenAI face", "its own wire"])
def test_the_wait_that_google_puts_into_the_body_is_kept(dialect: Dialect):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    listed = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, 7, info]}}]
    found = dialect.classify(reply(listed, 429))
    assert (found.kind, found.retry_after_s) == (K.RATE_LIMITED, 34.4)


def openai_answer(finish: str | None = "stop", **message: Any) -> WireReply:
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return reply({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


def anthropic_answer(reason: str | None, *texts: str) -> WireReply:
    content = [{"type": "text", "text": text} for text in texts]
    usage = {"input_tokens": 3, "output_tokens": 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    return reply({**head, "stop_reason": reason, "stop_sequence": None, "usage": usage})


def gemini_answer(reason: str | None, *texts: str, **head: Any) -> WireReply:
    content = {"role": "model", "parts": [{"text": text} for text in texts]}
    candidate = {"content": content, "finishReason": reason, "index": 0}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4}
    return reply({"candidates": [candidate], "usageMetadata": usage, "responseId": "r", "modelVersion": "m", **head})


SOUND = {"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "Hi"}


@pytest.mark.parametrize(
    ("dialect", "signal", "finish", "is_empty"),
    [
        (OPENAI, openai_answer("length", content="a"), "length", False),
        (OPENAI, openai_answer("length"), "length", False),
        (ANTHROPIC, anthropic_answer("max_tokens", "a"), "length", False),
        (ANTHROPIC, anthropic_answer("max_tokens"), "length", False),
        (ANTHROPIC, anthropic_answer("model_context_window_exceeded", "a"), "length", False),
        (GEMINI, gemini_answer("MAX_TOKENS", "a"), "length", False),
        (GEMINI, gemini_answer("MAX_TOKENS"), "length", False),
        *((GEMINI, gemini_answer(word, "a"), "content_filter", False) for word in ("SAFETY", "RECITATION", "SPII")),
        (GEMINI, gemini_answer("PROHIBITED_CONTENT"), "content_filter", False),
        (GEMINI, reply({"promptFeedback": {"blockReason": "SAFETY"}}), "content_filter", False),
        (GEMINI, gemini_answer("STOP"), "stop", True),
        (OPENAI, openai_answer("content_filter", content="a"), "content_filter", False),
        (OPENAI, openai_answer("content_filter"), "content_filter", False),
        (OPENAI, openai_answer("stop", refusal="I won't"), "content_filter", False),
        (ANTHROPIC, anthropic_answer("refusal", "a"), "content_filter", False),
        (ANTHROPIC, anthropic_answer("refusal"), "content_filter", False),
        (OPENAI, openai_answer("stop", content=" \n"), "stop", True),
        (OPENAI, openai_answer("stop"), "stop", True),
        (OPENAI, openai_answer("tool_calls"), "tool_calls", True),
        (ANTHROPIC, anthropic_answer("end_turn"), "stop", True),
        (OPENAI, openai_answer("stop", audio=SOUND), "stop", False),
    ],
)
def test_answers_that_are_less_than_asked_for_say_so(
    dialect: Dialect, signal: WireReply, finish: str, *, is_empty: bool
):
    found = dialect.decode(signal)
    assert isinstance(found, Answer)
    assert (found.finish_reason, found.is_empty) == (finish, is_empty)


@pytest.mark.parametrize(
    ("dialect", "signal", "kind"),
    [
        (OPENAI, openai_answer(None, content="a"), K.TRUNCATED),
        (OPENAI, openai_answer("error", content="a"), K.TRANSIENT),
        (OPENAI, openai_answer("insufficient_system_resource", content="a"), K.OVERLOADED),
        (ANTHROPIC, anthropic_answer(None, "a"), K.TRUNCATED),
        (GEMINI, gemini_answer(None, "a"), K.TRUNCATED),
        (GEMINI, gemini_answer("MALFORMED_FUNCTION_CALL"), K.INVALID_ANSWER),
        (GEMINI, WireReply(200, {}, b"<html>"), K.MALFORMED),
        (GEMINI, WireReply(200, {}, b"{}"), K.MALFORMED),
        (OPENAI, WireReply(200, {}, b"<html>"), K.MALFORMED),
        (ANTHROPIC, WireReply(200, {}, b"<html>"), K.MALFORMED),
        (OPENAI, WireReply(200, {}, b"{}"), K.MALFORMED),
        (ANTHROPIC, WireReply(200, {}, b"{}"), K.MALFORMED),
    ],
)
def test_what_did_not_end_is_no_answer(dialect: Dialect, signal: WireReply, kind: FailureKind):
    found = dialect.decode(signal)
    assert isinstance(found, Failure)
    assert found.kind is kind


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


HEAD: dict[str, Any] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
}
STREAMED: dict[str, list[bytes]] = {
    "openai": [chunk({"role": "assistant", "content": "Hi"}), chunk({}, "stop"), b"data: [DONE]\n\n"],
    "anthropic": [
        event("message_start", message={**HEAD, "usage": {"input_tokens": 1, "output_tokens": 1}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}),
        event("message_stop"),
    ],
}
STREAMED["gemini"] = [
    b"data: " + gemini_answer(None, "Hi").body + b"\r\n\r\n",
    b"data: " + gemini_answer("STOP").body + b"\r\n\r\n",
]
NOISE = (b": keep-alive\n\n", b"\n\n", b": OPENROUTER PROCESSING\n\n", b'event: ping\ndata: {"type": "ping"}\n\n')


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_without_its_end_marker_is_no_answer(name: str):
    for kept in range(len(STREAMED[name])):
        decoder = DIALECTS[name].decode_stream()
        for piece in STREAMED[name][:kept]:
            list(decoder.feed(piece))
        found = decoder.finish()
        assert isinstance(found, Failure)
        assert found.kind is K.TRUNCATED


@pytest.mark.parametrize("name", STREAMED)
def test_noise_changes_no_answer_and_moves_no_token_clock(name: str):
    decoder = DIALECTS[name].decode_stream()
    noise = NOISE if name == "anthropic" else NOISE[:3]
    for piece in STREAMED[name]:
        list(decoder.feed(piece))
        assert not any(delta.has_content for one in noise for delta in decoder.feed(one))
    found = decoder.finish()
    assert isinstance(found, Answer)
    assert found.text == "Hi"


def test_the_remedies_are_those_of_the_list():
    courses = {kind: remedy.course for kind, remedy in REMEDIES.items()}
    assert courses[K.RATE_LIMITED] is Course.WAIT, "it burns no attempt"
    assert courses[K.CONTENT_FILTER] is Course.STOP, "a refused prompt is shown to nobody else"
    for kind in (K.TRANSIENT, K.OVERLOADED, K.TIMEOUT, K.TRUNCATED, K.MALFORMED):
        assert courses[kind] is Course.ELSEWHERE
        assert not REMEDIES[kind].bars, "it may be asked again"
    assert REMEDIES[K.OVERLOADED].slowness > REMEDIES[K.TRANSIENT].slowness
    for kind in (K.NO_CREDIT, K.BAD_KEY, K.MODEL_NOT_FOUND, K.MODEL_DENIED, K.OVER_LIMIT):
        assert REMEDIES[kind].bars, "never the same again"
    for kind in (K.EMPTY_ANSWER, K.INVALID_ANSWER):
        assert courses[kind] is Course.AGAIN


@pytest.mark.parametrize(
    ("status", "scope"),
    [
        (401, Scope.ACCOUNT),
        (402, Scope.ACCOUNT),
        (403, Scope.MODEL),
        (404, Scope.MODEL),
        (429, Scope.MODEL),
        (503, Scope.MODEL),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_refusal_reaches_the_whole_account_only_where_its_status_says_so(dialect: Dialect, status: int, scope: Scope):
    assert dialect.classify(WireReply(status, {}, b"")).scope is scope
