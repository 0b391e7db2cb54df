"""What an error in OpenAI's shape means: read here, looked up in the table of `error_words` and `error_phrases`.

The shapes really sent: `{"error": {"message", "type", "param", "code"}}`, the same in a list (Google), `{"error":
"text"}` with `code` or `error_type` beside it (xAI, TGI, LM Studio), `{"object": "error", "code": 400}` (vLLM, SGLang),
`{"errors": [{...}]}` (Cloudflare), `{"message": "text"}` (Cohere), an HTML page from a proxy, nothing at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from routing.dialects.error_facts import Sign
from routing.dialects.errors import FACTS, OK, Said, answered, failure, identifier, read_json, request_field, text
from routing.dialects.google_details import details_of

CODES = ("code", "status", "type", "error_type")
"""Fields of an error that hold codes, the most specific first."""
OF_THE_REQUEST = frozenset({FailureKind.CONTEXT_TOO_LONG, FailureKind.CONTENT_FILTER})
"""What a gateway's error may say by the error that it had from the provider behind it. What that one says of keys and
accounts is about the gateway's own."""
LONGEST_NUMBER = 6
"""Digits of a code that is a number: z.ai's have four."""


def classify(reply: WireReply, accent: str = "") -> Failure:
    """The failure that a reply other than a completion means. Never raises. `accent` empty: unknown."""
    error = _parse(reply.body)
    if reply.status == OK and not ("error" in error or any(_codes(error)) or _status(error)):
        return failure(FailureKind.MALFORMED, "not_a_completion")
    status = (_status(error) or OK) if reply.status == OK else reply.status
    return _failure(error, status, accent, reply)


def classify_in_band(error: Any, accent: str = "") -> Failure:
    """The failure that an `error` inside a reply of status 200 means (of a whole body, a choice or a chunk)."""
    read = _mapping(error)
    return _failure(read, _status(read) or OK, accent, WireReply(OK, {}, b""))


def _failure(error: Mapping[str, Any], status: int, accent: str, reply: WireReply) -> Failure:
    metadata, inner = _mapping(error.get("metadata")), _mapping(error.get("innererror"))
    codes = tuple(_codes(error))
    details = details_of(error.get("details"))
    words = [*codes, *_codes(inner)]
    if details.reason is not None:
        words.insert(0, details.reason)
    if "flagged_input" in metadata:  # OpenRouter answers 403 for a flagged prompt; the key is fine
        words.insert(0, "content_filter")
    if isinstance(param := error.get("param"), str):
        words.insert(0, f"param:{param[:40]}")
    if details.is_closed:
        words.insert(0, "no_access")
    if (behind := _behind(metadata, status, accent)) is not None:
        words.insert(0, behind)
    code = codes[0] if codes else None
    if code is None and (number := _status(error)) is not None:
        code = str(number)
    said = Said(
        sign=Sign(status, tuple(words), _message(error), accent),
        code=code,
        field=request_field(error.get("param")),
        wait_s=details.wait_s,
        scope=details.scope,
        limit=details.limit,
    )
    return answered(said, reply.status, {**_headers(metadata), **reply.headers})


def _behind(metadata: Mapping[str, Any], status: int, accent: str) -> str | None:
    """A word for what the provider behind OpenRouter said in `metadata.raw`; None unless it is of the request."""
    raw = metadata.get("raw")
    if not isinstance(raw, str):
        return None
    error = _parse(raw.encode("utf-8", "replace"))
    sign = Sign(status, tuple(_codes(error)), _message(error) or raw, accent)
    fact = FACTS.meaning(sign)
    if fact is None or fact.kind not in OF_THE_REQUEST:
        return None
    return "content_filter" if fact.kind is FailureKind.CONTENT_FILTER else "context_length_exceeded"


def _headers(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Headers that OpenRouter writes into the body: `{"X-RateLimit-Reset": "1743638400000"}`."""
    headers = _mapping(metadata.get("headers"))
    return {name.lower(): value for name, value in headers.items() if isinstance(name, str) and isinstance(value, str)}


def _parse(body: bytes) -> Mapping[str, Any]:
    """The error in a body, with its fields where OpenAI has them; empty when there is none."""
    parsed = read_json(body)
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, Mapping):
        return {}
    errors = parsed.get("errors")
    if "error" not in parsed and isinstance(errors, list) and errors:
        return _mapping(errors[0])
    if "error" not in parsed:
        return parsed
    error = parsed["error"]
    return {**parsed, "message": error} if isinstance(error, str) else _mapping(error)


def _message(error: Mapping[str, Any]) -> str:
    """Its prose: `detail` is FastAPI's (SGLang, TGI's kin)."""
    return text(error.get("message")) or text(error.get("detail"))


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"message": value}
    return value if isinstance(value, Mapping) else {}


def _codes(error: Mapping[str, Any]) -> Iterator[str]:
    for name in CODES:
        value = error.get(name)
        is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**LONGEST_NUMBER
        if is_number and not _is_status(value):
            value = str(value)
        if (word := identifier(value)) is not None:
            yield word


def _status(error: Mapping[str, Any]) -> int | None:
    """The HTTP status that an error names as its code, as a number or in digits."""
    code = error.get("code")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if _is_status(code) else None


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600
