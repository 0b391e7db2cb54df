"""What an error of the Gemini API means: a google.rpc.Status, by the reason in its details, then its status word.

`{"error": {"code": 429, "message": "...", "status": "RESOURCE_EXHAUSTED", "details": [...]}}`, alone or in a list. The
wait stands in the body (`RetryInfo`), not in a header, and so do the quotas that were exceeded (`QuotaFailure`). The
rest is looked up in the table of `error_words` and `error_phrases`.
"""

from collections.abc import Mapping
from typing import Any

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.error_facts import Fact, Facts, Sign
from routing.dialects.errors import FACTS, OK, Said, answered, failure, identifier, read_json, text
from routing.dialects.google_details import details_of

_CODES = "google/rpc/code.proto; ai.google.dev/gemini-api/docs/troubleshooting"
STATUS_WORDS = (
    Fact(kind=FailureKind.BAD_REQUEST, words=("invalid_argument", "out_of_range"), is_broad=True, source=_CODES),
    Fact(
        kind=FailureKind.BAD_KEY,
        words=("failed_precondition",),
        is_broad=True,
        source=f"{_CODES}: the account's, a country without a free tier or no billing",
    ),
    Fact(kind=FailureKind.MODEL_NOT_FOUND, words=("not_found",), source=_CODES),
    Fact(
        kind=FailureKind.TRANSIENT,
        words=("cancelled", "aborted", "internal", "unknown", "deadline_exceeded"),
        source=_CODES,
    ),
)
"""google.rpc.Code, where it means more than its HTTP status."""
KNOWN = Facts((*STATUS_WORDS, *FACTS.rows))


def classify(reply: WireReply) -> Failure:
    """The failure that a reply other than a response means. Never raises."""
    body = read_json(reply.body)
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, Mapping) else None
    if reply.status == OK and error is None:
        return failure(FailureKind.MALFORMED, "not_a_response")
    return _failure(error, reply)


def classify_in_band(error: Any) -> Failure:
    """The failure that an `error` object inside a reply of status 200 means: an event of a stream, mostly."""
    return _failure(error, WireReply(OK, {}, b""))


def _failure(error: Any, reply: WireReply) -> Failure:
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    code, word, details = fields.get("code"), identifier(fields.get("status")), details_of(fields.get("details"))
    status = reply.status
    if status == OK and isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
        status = code
    closed = "no_access" if details.is_closed else None
    said = Said(
        sign=Sign(
            status=status,
            words=tuple(one for one in (closed, details.reason, word) if one is not None),
            message=text(fields.get("message")) or text(error),
        ),
        code=details.reason or word,
        wait_s=details.wait_s,
        scope=details.scope,
        limit=details.limit,
    )
    return answered(said, reply.status, reply.headers, KNOWN)
