"""What an error in OpenAI's shape means: one table by (status, code), one by code, one by status. Never by prose.

The shapes really sent: `{"error": {"message", "type", "param", "code"}}`, the same in a list (Google),
`{"error": "text"}`, `{"object": "error", "code": 400}` (vLLM), an HTML page from a proxy, nothing at all.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.errors import answered, by_status, failure, identifier, read_json, request_field
from routing.dialects.retry_after import span_s

BY_STATUS_AND_CODE: dict[tuple[int, str], FailureKind] = {
    # Groq: this one request is larger than a whole minute's tokens. Waiting does not shrink it.
    (413, "rate_limit_exceeded"): FailureKind.BAD_REQUEST,
    (413, "tokens"): FailureKind.BAD_REQUEST,
}
BY_CODE: dict[str, FailureKind] = {
    "insufficient_quota": FailureKind.NO_CREDIT,
    "billing_hard_limit_reached": FailureKind.NO_CREDIT,
    "billing_not_active": FailureKind.NO_CREDIT,
    "enforced_spend_limit_reached": FailureKind.NO_CREDIT,
    "insufficient_credits": FailureKind.NO_CREDIT,
    "insufficient_balance": FailureKind.NO_CREDIT,
    "invalid_api_key": FailureKind.BAD_KEY,
    "account_deactivated": FailureKind.BAD_KEY,
    "authentication_error": FailureKind.BAD_KEY,
    "permission_error": FailureKind.BAD_KEY,
    "unauthenticated": FailureKind.BAD_KEY,
    "permission_denied": FailureKind.BAD_KEY,
    "model_not_found": FailureKind.MODEL_NOT_FOUND,
    "context_length_exceeded": FailureKind.CONTEXT_TOO_LONG,
    "content_filter": FailureKind.BAD_REQUEST,
    "content_policy_violation": FailureKind.BAD_REQUEST,
    "moderation_blocked": FailureKind.BAD_REQUEST,
    # Groq: a 400 for what the model made, not for what was asked; the next draw may be better.
    "tool_use_failed": FailureKind.INVALID_ANSWER,
    "json_validate_failed": FailureKind.INVALID_ANSWER,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "slow_down": FailureKind.RATE_LIMITED,
    "resource_exhausted": FailureKind.RATE_LIMITED,
    "server_is_overloaded": FailureKind.OVERLOADED,
    "overloaded_error": FailureKind.OVERLOADED,
    "engine_overloaded": FailureKind.OVERLOADED,
    "unavailable": FailureKind.OVERLOADED,
}
BY_TYPE: dict[str, FailureKind] = {
    # Too broad to outvote a status (OpenAI's 401, 404 and 400 all say invalid_request_error): for errors without one.
    "invalid_request_error": FailureKind.BAD_REQUEST,
    "bad_request_error": FailureKind.BAD_REQUEST,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
}


class _Error(msgspec.Struct, frozen=True):
    """What an error body says, as far as it can be trusted to be data."""

    status: int | None = None
    codes: tuple[str, ...] = ()
    """Most specific first: code, Google's status word, type."""
    is_moderation: bool = False
    param: str | None = None
    """The field that the provider complains of."""
    wait_s: float | None = None
    """Google says it in the body, on its OpenAI face too."""


def classify(reply: WireReply) -> Failure:
    """The failure that a reply other than a completion means. Never raises."""
    error = _parse(reply.body)
    if reply.status == 200 and error == _Error():
        return failure(FailureKind.MALFORMED, "not_a_completion")
    status = error.status if reply.status == 200 and error.status else reply.status
    return _failure(_kind(status, error), reply.status, error, reply.headers)


def classify_in_band(error: Any) -> Failure:
    """The failure that an `error` object inside a reply of status 200 means (a whole body, a choice or a chunk)."""
    parsed = _read(error)
    return _failure(_kind(parsed.status or 200, parsed), 200, parsed, {})


def _kind(status: int, error: _Error) -> FailureKind:
    if error.is_moderation:
        return FailureKind.BAD_REQUEST  # OpenRouter answers 403 for a flagged prompt; the key is fine
    for code in error.codes:
        kind = BY_STATUS_AND_CODE.get((status, code)) or BY_CODE.get(code)
        if kind is not None:
            return kind
    if status == 200:
        return next((BY_TYPE[code] for code in error.codes if code in BY_TYPE), FailureKind.TRANSIENT)
    return by_status(status)


def _failure(kind: FailureKind, status: int, error: _Error, headers: Mapping[str, str]) -> Failure:
    code = error.codes[0] if error.codes else None
    if code is None and error.status is not None:
        code = str(error.status)
    found = answered(kind, status, headers, code, error.param)
    return found if error.wait_s is None else msgspec.structs.replace(found, retry_after_s=error.wait_s)


def _parse(body: bytes) -> _Error:
    parsed = read_json(body)
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if isinstance(parsed, Mapping) and "error" in parsed:
        parsed = parsed["error"]
    return _read(parsed)


def _read(error: Any) -> _Error:
    if not isinstance(error, Mapping):
        return _Error()
    number = error.get("code")
    is_status = isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600
    words = (identifier(error.get(name)) for name in ("code", "status", "type"))
    codes = tuple(word for word in words if word is not None)
    metadata = error.get("metadata")
    is_moderation = isinstance(metadata, Mapping) and "flagged_input" in metadata
    return _Error(
        number if is_status else None, codes, is_moderation, request_field(error.get("param")), _wait_s(error)
    )


def _wait_s(error: Mapping[str, Any]) -> float | None:
    """Google's `RetryInfo` among the details: `{"@type": "...google.rpc.RetryInfo", "retryDelay": "34.4s"}`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str):
            return span_s(delay)
    return None
