"""What provider errors mean: by status and code, and nothing of them is repeated that might be secret."""

import json

import pytest

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.errors import BY_STATUS, FACTS, SENTENCES
from routing.dialects.openai_errors import classify

K = FailureKind
CANARY = "canary-Zx81-prompt"
KEY = "sk-proj-8dJ2kQ0vY7pLw3"


def failed(status: int, error: object = None, **headers: str) -> Failure:
    body = b"" if error is None else json.dumps({"error": error}).encode()
    return classify(WireReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body))


def openai_error(code: object, type_: str = "invalid_request_error") -> dict[str, object]:
    return {"message": f"{CANARY} {KEY}", "type": type_, "param": None, "code": code}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, openai_error("invalid_api_key"), K.BAD_KEY),
        (401, openai_error(None), K.BAD_KEY),
        (403, openai_error("unsupported_country_region_territory", "request_forbidden"), K.BAD_KEY),
        (403, {"code": 403, "metadata": {"flagged_input": CANARY, "reasons": []}}, K.CONTENT_FILTER),
        (404, openai_error("model_not_found"), K.MODEL_NOT_FOUND),
        (400, openai_error("model_not_found"), K.MODEL_NOT_FOUND),
        (400, openai_error("context_length_exceeded"), K.CONTEXT_TOO_LONG),
        (400, openai_error("invalid_value"), K.BAD_REQUEST),
        (400, openai_error("content_policy_violation"), K.CONTENT_FILTER),
        (413, None, K.OVER_LIMIT),
        (413, openai_error("rate_limit_exceeded", "tokens"), K.OVER_LIMIT),
        (422, openai_error(None), K.BAD_REQUEST),
        (402, {"code": 402, "message": CANARY}, K.NO_CREDIT),
        (429, openai_error("insufficient_quota", "insufficient_quota"), K.NO_CREDIT),
        (429, openai_error(None, "insufficient_quota"), K.NO_CREDIT),
        (429, openai_error("rate_limit_exceeded", "tokens"), K.RATE_LIMITED),
        (429, openai_error("slow_down"), K.RATE_LIMITED),
        (429, None, K.RATE_LIMITED),
        (503, openai_error("server_is_overloaded", "service_unavailable_error"), K.OVERLOADED),
        (503, {"code": 503, "status": "UNAVAILABLE"}, K.OVERLOADED),
        (529, openai_error(None, "overloaded_error"), K.OVERLOADED),
        (498, None, K.OVERLOADED),
        (408, None, K.TRANSIENT),
        (409, None, K.TRANSIENT),
        (500, openai_error(None, "server_error"), K.TRANSIENT),
        (502, None, K.TRANSIENT),
        (503, None, K.TRANSIENT),
        (504, None, K.TRANSIENT),
        (520, None, K.TRANSIENT),
        (418, None, K.BAD_REQUEST),
        (302, None, K.MALFORMED),
        (204, None, K.MALFORMED),
    ],
)
def test_each_signal_has_its_class(status, error, kind):
    failure = failed(status, error)
    assert (failure.kind, failure.status) == (kind, status)


@pytest.mark.parametrize(
    "body", [b"<html>down</html>", b"", b"null", b"[]", b'["x"]', b"\xff", b'{"error": 7}', b"[" * 99_999]
)
def test_a_body_without_an_error_object_leaves_the_status_to_decide(body):
    assert classify(WireReply(503, {}, body)).kind is K.TRANSIENT
    assert classify(WireReply(200, {}, body)).kind is K.MALFORMED


def test_other_vendors_shapes_are_read():
    assert classify(WireReply(400, {}, b'{"object": "error", "code": 400, "type": "BadRequestError"}')).code is not None
    listed = b'[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]'
    assert classify(WireReply(429, {}, listed)) == Failure(
        K.RATE_LIMITED, f"{SENTENCES[K.RATE_LIMITED]} (429 resource_exhausted).", 429, "resource_exhausted"
    )


def test_neither_prompt_nor_key_is_repeated_wherever_the_provider_puts_them():
    for place in ("message", "code", "type", "status", "param"):
        for secret in (f"{CANARY} in prose", KEY, "0123456789abcdef0123456789abcdef", "x" * 101, "\u00e9t\u00e9"):
            failure = failed(400, {place: secret})
            assert secret not in failure.message
            assert failure.code is None


def test_waits_come_from_the_headers():
    assert failed(429, None, retry_after="20").retry_after_s == 20.0
    assert failed(503, None, retry_after_ms="1500").retry_after_s == 1.5
    assert failed(500, None, retry_after="soon").retry_after_s is None


def test_reset_headers_count_only_for_a_rate_limit():
    headers = {"x_ratelimit_reset_tokens": "6m0s", "x_ratelimit_remaining_tokens": "0"}
    assert failed(429, None, **headers).retry_after_s == 360.0
    assert failed(500, None, **headers).retry_after_s is None


def test_every_kind_in_the_tables_has_a_sentence():
    assert {*(fact.kind for fact in FACTS.rows), *BY_STATUS.values()} <= SENTENCES.keys()


@pytest.mark.parametrize(
    ("param", "named"),
    [
        ("temperature", "`temperature`"),
        ("messages[3].content", "`messages[3].content`"),
        ("my card number is 4929", None),
        ("sk-live_abcdef", None),
        (["temperature"], None),
    ],
)
def test_a_refusal_names_the_field_and_never_a_piece_of_the_prompt(param, named):
    body = json.dumps({"error": {"type": "invalid_request_error", "param": param, "message": "secret prompt"}})
    message = classify(WireReply(400, {}, body.encode())).message
    assert "secret" not in message
    assert str(param) not in message.replace(named or "", "")
    assert named is None or named in message
