"""What error replies have in common on every wire: kinds by status, our own sentences, what may be shown, the wait."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind
from routing.dialects.accent_table import EXTENSIONS
from routing.dialects.accents import OFFICIAL
from routing.dialects.retry_after import limit_reset_at_s, limit_reset_s, retry_after_s

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a foreign body can raise: bad JSON or wrong types, bad UTF-8, nesting without end."""

BY_STATUS: dict[int, FailureKind] = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.BAD_KEY,
    402: FailureKind.NO_CREDIT,
    403: FailureKind.BAD_KEY,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.TRANSIENT,
    409: FailureKind.TRANSIENT,
    410: FailureKind.MODEL_NOT_FOUND,
    413: FailureKind.BAD_REQUEST,
    422: FailureKind.BAD_REQUEST,
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.OVERLOADED,  # Groq: flex capacity exceeded
    529: FailureKind.OVERLOADED,
}
SENTENCES: dict[FailureKind, str] = {
    FailureKind.TRANSIENT: "The provider failed; the same call may succeed later",
    FailureKind.OVERLOADED: "The provider is overloaded",
    FailureKind.RATE_LIMITED: "The provider limits the rate of this key",
    FailureKind.NO_CREDIT: "The account at the provider is out of money",
    FailureKind.BAD_KEY: "The provider refused the key or what it may do",
    FailureKind.MODEL_NOT_FOUND: "The provider does not serve this model under this name",
    FailureKind.BAD_REQUEST: "The provider refused the request",
    FailureKind.CONTEXT_TOO_LONG: "The prompt does not fit the model's window",
    FailureKind.MALFORMED: "The reply is not a chat completion",
    FailureKind.TRUNCATED: "The answer ended before its end marker",
    FailureKind.INVALID_ANSWER: "The model called a tool in a wrong way",
}
"""Ours, not the provider's: a provider's message may repeat the prompt or a piece of the key."""

_CODE = re.compile(r"(?=.{1,100}\Z)[A-Za-z_.:/-]*(?:[0-9][A-Za-z_.:/-]*){0,4}", re.ASCII)
"""A code is an identifier with few digits. Anything else may be prose (the prompt) or a key: not to be shown."""

_PARAM = re.compile(r"(?P<field>[a-z_]{1,40})(?:\[[0-9]{1,4}\]|\.[A-Za-z_]{1,40}){0,8}", re.ASCII)
_FIELDS = OFFICIAL | EXTENSIONS
"""A field to name to the caller is a path that begins with a field of the body, so it can hold no piece of a prompt."""


def failure(kind: FailureKind, code: str | None = None, status: int | None = 200) -> Failure:
    """A failure that is told by the shape of the reply alone; `code` names what was wrong with it."""
    return Failure(kind=kind, message=_sentence(kind, status, code), status=status, code=code)


def answered(
    kind: FailureKind, status: int, headers: Mapping[str, str], code: str | None = None, field: str | None = None
) -> Failure:
    """A failure that an error reply means, with the wait that its headers ask for. `field` is what it complains of."""
    wait_s = retry_after_s(headers)
    if wait_s is None and kind is FailureKind.RATE_LIMITED:
        wait_s = limit_reset_s(headers)
        wait_s = limit_reset_at_s(headers) if wait_s is None else wait_s
    sentence = _sentence(kind, status, code, field)
    return Failure(kind, sentence, status=status, code=code, retry_after_s=wait_s, field=field)


def by_status(status: int) -> FailureKind:
    """The kind that a status alone means."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= 500:
        return FailureKind.TRANSIENT
    return FailureKind.BAD_REQUEST if status >= 400 else FailureKind.MALFORMED


def identifier(word: Any) -> str | None:
    """A code of the provider in lower case; None for what may be prose (the prompt) or a key."""
    return word.lower() if isinstance(word, str) and _CODE.fullmatch(word) else None


def request_field(word: Any) -> str | None:
    """A path into the request that an error names; None when it does not begin with a field of the body."""
    found = _PARAM.fullmatch(word) if isinstance(word, str) else None
    return word if found is not None and found["field"] in _FIELDS else None


def read_json(body: bytes) -> Any:
    """The body as JSON; None when it is none."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None


def _sentence(kind: FailureKind, status: int | None, code: str | None, field: str | None = None) -> str:
    facts = " ".join(str(fact) for fact in (status, code) if fact is not None)
    about = f"; it complains of `{field}`" if field else ""
    return f"{SENTENCES[kind]} ({facts}){about}." if facts else f"{SENTENCES[kind]}{about}."
