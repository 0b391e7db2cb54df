"""What an error on Anthropic's wire means: `{"type": "error", "error": {"type", "message", "details"}}`.

Looked up in the table of `error_words` and `error_phrases`: by `error.details.error_code`, by `error.code` (z.ai,
Moonshot and others speak this wire with codes of their own), by `error.type`. Anthropic gives the same type and no code
for a prompt that does not fit, an empty account and a malformed body; there the beginning of the message decides.
"""

from collections.abc import Mapping
from typing import Any

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.error_facts import Sign
from routing.dialects.errors import OK, Said, answered, failure, identifier, read_json, text


def classify(reply: WireReply) -> Failure:
    """The failure that a reply other than a message means. Never raises."""
    body = read_json(reply.body)
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    if reply.status == OK and fields.get("error") is None:
        return failure(FailureKind.MALFORMED, "not_a_message")
    return _failure(fields.get("error", fields), reply)


def classify_in_band(error: Any) -> Failure:
    """The failure that an `error` object inside a reply of status 200 means: an event of a stream, mostly."""
    return _failure(error, WireReply(OK, {}, b""))


def _failure(error: Any, reply: WireReply) -> Failure:
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    details = fields.get("details")
    detail = details.get("error_code") if isinstance(details, Mapping) else None
    codes = (detail, fields.get("code"), fields.get("type"))
    words = tuple(word for code in codes if (word := identifier(code)) is not None)
    message = "" if detail else text(fields.get("message")) or text(error)  # a code of its own tells more than prose
    sign = Sign(reply.status, words, message)
    return answered(Said(sign, words[0] if words else None), reply.status, reply.headers)
