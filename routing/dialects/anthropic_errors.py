"""What an Anthropic error means: `{"type": "error", "error": {"type", "message", "details"}}`, by code, type, status.

The message is never looked at, with two exceptions (`BY_PROSE`): the API gives the same type and no code for a prompt
that does not fit, for an empty account, and for a malformed body, though each has another remedy.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.errors import answered, by_status, failure, identifier, read_json

BY_CODE: dict[str, FailureKind] = {
    "enforced_spend_limit_reached": FailureKind.NO_CREDIT,
    "contract_spend_limit_reached": FailureKind.NO_CREDIT,
    "linked_organization_spend_limit_reached": FailureKind.NO_CREDIT,
    "linked_organization_billing_unavailable": FailureKind.NO_CREDIT,
    "organization_on_hold": FailureKind.BAD_KEY,
    "organization_type_not_supported": FailureKind.BAD_KEY,
    "claude_code_key_creator_not_member": FailureKind.BAD_KEY,
    "ramp_limit_exceeded": FailureKind.RATE_LIMITED,
}
"""`error.details.error_code`, of the SDK's `ErrorDetails`: more precise than the type."""
BY_TYPE: dict[str, FailureKind] = {
    "invalid_request_error": FailureKind.BAD_REQUEST,
    "authentication_error": FailureKind.BAD_KEY,
    "billing_error": FailureKind.NO_CREDIT,
    "permission_error": FailureKind.BAD_KEY,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
    "request_too_large": FailureKind.BAD_REQUEST,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TRANSIENT,
    "conflict_error": FailureKind.TRANSIENT,
    "api_error": FailureKind.TRANSIENT,
    "overloaded_error": FailureKind.OVERLOADED,
}
"""The SDK's `ErrorType`, and `request_too_large` of status 413."""
BY_PROSE: dict[str, FailureKind] = {
    "prompt is too long": FailureKind.CONTEXT_TOO_LONG,
    "input length and `max_tokens` exceed context limit": FailureKind.CONTEXT_TOO_LONG,
    "your credit balance is too low": FailureKind.NO_CREDIT,
}
"""How a message begins, for `invalid_request_error` without a code alone. Wrong prose means BAD_REQUEST, as before."""


class _Error(msgspec.Struct, frozen=True):
    code: str | None = None
    kind: str | None = None
    prose: FailureKind | None = None
    is_error: bool = False


def classify(reply: WireReply) -> Failure:
    """The failure that a reply other than a message means. Never raises."""
    body = read_json(reply.body)
    error = _read(body.get("error")) if isinstance(body, Mapping) else _Error()
    if reply.status == 200 and not error.is_error:
        return failure(FailureKind.MALFORMED, "not_a_message")
    return _failure(error, reply.status, reply.headers)


def classify_in_band(error: Any) -> Failure:
    """The failure that an `error` object inside a reply of status 200 means: an event of a stream, mostly."""
    return _failure(_read(error), 200, {})


def _failure(error: _Error, status: int, headers: Mapping[str, str]) -> Failure:
    known = BY_CODE.get(error.code or "") or error.prose or BY_TYPE.get(error.kind or "")
    kind = known or (FailureKind.TRANSIENT if status == 200 else by_status(status))
    return answered(kind, status, headers, error.code or error.kind)


def _read(error: Any) -> _Error:
    if not isinstance(error, Mapping):
        return _Error(is_error=error is not None)
    details = error.get("details")
    code = identifier(details.get("error_code")) if isinstance(details, Mapping) else None
    kind = identifier(error.get("type"))
    message = error.get("message")
    prose = None
    if code is None and kind == "invalid_request_error" and isinstance(message, str):
        begun = message.lower()
        prose = next((meant for words, meant in BY_PROSE.items() if begun.startswith(words)), None)
    return _Error(code, kind, prose, is_error=True)
