"""What an error of the Gemini API means: a google.rpc.Status, by the reason in its details, then its status word.

`{"error": {"code": 429, "message": "...", "status": "RESOURCE_EXHAUSTED", "details": [...]}}`, alone or in a list. The
wait stands in the body (`RetryInfo`), not in a header. The message is looked at for one thing only (`TOO_LONG`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.errors import answered, by_status, failure, identifier, read_json
from routing.dialects.retry_after import span_s

BY_REASON: dict[str, FailureKind] = {
    "api_key_invalid": FailureKind.BAD_KEY,
    "api_key_service_blocked": FailureKind.BAD_KEY,
    "api_key_http_referrer_blocked": FailureKind.BAD_KEY,
    "api_key_ip_address_blocked": FailureKind.BAD_KEY,
    "api_key_android_app_blocked": FailureKind.BAD_KEY,
    "api_key_ios_app_blocked": FailureKind.BAD_KEY,
    "access_token_expired": FailureKind.BAD_KEY,
    "service_disabled": FailureKind.BAD_KEY,
    "consumer_invalid": FailureKind.BAD_KEY,
    "consumer_suspended": FailureKind.BAD_KEY,
    "user_project_denied": FailureKind.BAD_KEY,
    "billing_disabled": FailureKind.NO_CREDIT,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "resource_quota_exceeded": FailureKind.RATE_LIMITED,
}
"""`ErrorInfo.reason` of the domain googleapis.com (google/api/error_reason.proto): an invalid key is a 400."""
BY_WORD: dict[str, FailureKind] = {
    "invalid_argument": FailureKind.BAD_REQUEST,
    "out_of_range": FailureKind.BAD_REQUEST,
    # The account's: a country without a free tier, no billing.
    "failed_precondition": FailureKind.BAD_KEY,
    "unauthenticated": FailureKind.BAD_KEY,
    "permission_denied": FailureKind.BAD_KEY,
    "not_found": FailureKind.MODEL_NOT_FOUND,
    "resource_exhausted": FailureKind.RATE_LIMITED,
    "cancelled": FailureKind.TRANSIENT,
    "aborted": FailureKind.TRANSIENT,
    "internal": FailureKind.TRANSIENT,
    "unknown": FailureKind.TRANSIENT,
    "deadline_exceeded": FailureKind.TRANSIENT,
    "unavailable": FailureKind.OVERLOADED,
}
"""google.rpc.Code; which of them the Gemini API uses: its page on troubleshooting."""
TOO_LONG = "the input token count"
"""How the message of an `INVALID_ARGUMENT` without details begins when the prompt does not fit the window."""
_INFO, _RETRY = "ErrorInfo", "RetryInfo"


class _Error(msgspec.Struct, frozen=True):
    status: int | None = None
    word: str | None = None
    reason: str | None = None
    is_too_long: bool = False
    wait_s: float | None = None
    is_error: bool = False


def classify(reply: WireReply) -> Failure:
    """The failure that a reply other than a response means. Never raises."""
    body = read_json(reply.body)
    if isinstance(body, list) and body:
        body = body[0]
    error = _read(body.get("error")) if isinstance(body, Mapping) else _Error()
    if reply.status == 200 and not error.is_error:
        return failure(FailureKind.MALFORMED, "not_a_response")
    return _failure(error, reply.status, reply.headers)


def classify_in_band(error: Any) -> Failure:
    """The failure that an `error` object inside a reply of status 200 means: an event of a stream, mostly."""
    return _failure(_read(error), 200, {})


def _failure(error: _Error, status: int, headers: Mapping[str, str]) -> Failure:
    known = BY_REASON.get(error.reason or "") or BY_WORD.get(error.word or "")
    if error.is_too_long:
        known = FailureKind.CONTEXT_TOO_LONG
    told = error.status if status == 200 and error.status is not None else status
    kind = known or (FailureKind.TRANSIENT if told == 200 else by_status(told))
    found = answered(kind, status, headers, error.reason or error.word)
    if error.wait_s is None:
        return found
    return msgspec.structs.replace(found, retry_after_s=error.wait_s)


def _read(error: Any) -> _Error:
    if not isinstance(error, Mapping):
        return _Error(is_error=error is not None)
    code, word, message = error.get("code"), identifier(error.get("status")), error.get("message")
    details = list(_details(error.get("details")))
    reason = next((identifier(detail.get("reason")) for kind, detail in details if kind == _INFO), None)
    delay = next((detail.get("retryDelay") for kind, detail in details if kind == _RETRY), None)
    is_status = isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600
    begun = message.lower() if isinstance(message, str) else ""
    return _Error(
        status=code if is_status else None,
        word=word,
        reason=reason,
        is_too_long=word == "invalid_argument" and reason is None and begun.startswith(TOO_LONG),
        wait_s=span_s(delay) if isinstance(delay, str) else None,
        is_error=True,
    )


def _details(details: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and content of each: `type.googleapis.com/google.rpc.RetryInfo` is of the kind RetryInfo."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping):
            yield str(detail.get("@type", "")).rpartition(".")[2], detail
