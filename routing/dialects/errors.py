"""What error replies have in common on every wire: kinds by status, our own sentences, what may be shown, the wait."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.failures import Failure, FailureKind, Scope, TokenLimit
from routing.dialects.error_facts import Facts, Sign
from routing.dialects.error_phrases import PHRASES
from routing.dialects.error_words import WORDS
from routing.dialects.retry_after import limit_reset_s, longest, retry_after_s
from routing.dialects.token_limits import token_limit

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
    413: FailureKind.OVER_LIMIT,
    422: FailureKind.BAD_REQUEST,
    424: FailureKind.TRANSIENT,  # TGI: generation failed; Bedrock: ModelErrorException
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.OVERLOADED,  # Groq: flex capacity exceeded
    499: FailureKind.TRANSIENT,  # Google and Cohere: the request was cancelled
    529: FailureKind.OVERLOADED,
}
SENTENCES: dict[FailureKind, str] = {
    FailureKind.TRANSIENT: "The provider failed; the same call may succeed later",
    FailureKind.OVERLOADED: "The provider is overloaded",
    FailureKind.RATE_LIMITED: "The provider limits the rate of this key",
    FailureKind.NO_CREDIT: "The account at the provider is out of money or at its limit",
    FailureKind.BAD_KEY: "The provider refused the key or what it may do",
    FailureKind.MODEL_NOT_FOUND: "The provider does not serve this model under this name",
    FailureKind.MODEL_DENIED: "The provider does not let this key use this model",
    FailureKind.BAD_REQUEST: "The provider refused the request",
    FailureKind.CONTENT_FILTER: "The provider's filter refused the prompt",
    FailureKind.OVER_LIMIT: "This request alone needs more than a limit at the provider allows",
    FailureKind.CONTEXT_TOO_LONG: "The prompt does not fit the model's window",
    FailureKind.MALFORMED: "The reply is not a chat completion",
    FailureKind.TRUNCATED: "The answer ended before its end marker",
    FailureKind.INVALID_ANSWER: "The model called a tool in a wrong way",
}
"""Ours, not the provider's: a provider's message may repeat the prompt or a piece of the key."""

OK = 200
FACTS = Facts((*WORDS, *PHRASES))
"""Rows for every wire."""
SCOPES: dict[FailureKind, Scope] = {
    FailureKind.NO_CREDIT: Scope.ACCOUNT,
    FailureKind.BAD_REQUEST: Scope.REQUEST,
    FailureKind.CONTENT_FILTER: Scope.REQUEST,
    FailureKind.OVER_LIMIT: Scope.REQUEST,
    FailureKind.CONTEXT_TOO_LONG: Scope.REQUEST,
    FailureKind.INVALID_ANSWER: Scope.REQUEST,
}
"""Kinds that do not speak of one key and one model."""

_CODE = re.compile(r"(?=.{1,100}\Z)[A-Za-z_.:/-]*(?:[0-9][A-Za-z_.:/-]*){0,4}", re.ASCII)
"""A code is an identifier with few digits. Anything else may be prose (the prompt) or a key: not to be shown."""

_PARAM = re.compile(r"(?P<field>[a-z_]{1,40})(?:\[[0-9]{1,4}\]|\.[A-Za-z_]{1,40}){0,8}", re.ASCII)
_FIELDS = frozenset(
    [
        "messages",
        "model",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "temperature",
        "top_p",
        "top_logprobs",
        "logprobs",
        "n",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "reasoning_effort",
        "modalities",
        "audio",
        "prediction",
        "store",
        "metadata",
        "service_tier",
        "functions",
        "function_call",
    ]
)
"""A field to name to the caller is a path that begins with a field of the body, so it can hold no piece of a prompt."""


def failure(kind: FailureKind, code: str | None = None, status: int | None = 200) -> Failure:
    """A failure that is told by the shape of the reply alone; `code` names what was wrong with it."""
    return Failure(kind=kind, message=_sentence(kind, status, code), status=status, code=code)


class Said(msgspec.Struct, frozen=True):
    """What an error reply says beside its status and headers, read from its body."""

    sign: Sign
    """By which its meaning is looked up."""
    code: str | None = None
    """The provider's code, if it may be shown."""
    field: str | None = None
    """The field of the request that it complains of."""
    wait_s: float | None = None
    """A wait that the body asks for."""
    scope: Scope | None = None
    """Told by the body's own data; None: not told."""
    limit: TokenLimit | None = None
    """The limit that refused, where the body names it."""


def answered(said: Said, status: int, headers: Mapping[str, str], known: Facts = FACTS) -> Failure:
    """The failure that an error reply means, by `known` rows, else by the status alone. Never raises.

    `status` is the reply's, the one in `said.sign` what its body says. The longest hint of a wait that is positive
    counts.
    """
    fact = known.meaning(said.sign)
    told = said.sign.status
    kind = fact.kind if fact else FailureKind.TRANSIENT if told == OK else by_status(told)
    scope = (fact.scope if fact else None) or said.scope or scope_of(kind, told)
    wait_s = longest((retry_after_s(headers), said.wait_s))
    limit = None
    if kind is FailureKind.RATE_LIMITED:
        wait_s = wait_s or longest((wait_s, limit_reset_s(headers)))
        limit = said.limit or token_limit(headers)
    sentence = _sentence(kind, status, said.code, said.field)
    return Failure(kind, sentence, status, said.code, wait_s, scope, limit)


def over_limit(failure: Failure, input_tokens: int, output_tokens: int) -> Failure:
    """The same failure; where its limit is below what the request itself needs: one that no waiting can mend.

    `input_tokens` is the least that the prompt can be, `output_tokens` what the caller asked for, 0 for nothing.
    """
    limit = failure.limit
    if failure.kind is not FailureKind.RATE_LIMITED or limit is None:
        return failure
    if input_tokens + (output_tokens if limit.has_output else 0) <= limit.tokens:
        return failure
    kind = FailureKind.OVER_LIMIT
    sentence = f"{_sentence(kind, failure.status, failure.code)[:-1]}: it gives {limit.tokens} tokens at once."
    return Failure(kind, sentence, failure.status, failure.code, scope=Scope.REQUEST, limit=limit)


def scope_of(kind: FailureKind, status: int) -> Scope:
    """How far a refusal reaches when nothing but its kind and its status is known."""
    if kind is FailureKind.BAD_KEY:
        return Scope.MODEL if status == 403 else Scope.ACCOUNT
    return SCOPES.get(kind, Scope.MODEL)


def by_status(status: int) -> FailureKind:
    """The kind that a status alone means."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= 500:
        return FailureKind.TRANSIENT
    return FailureKind.BAD_REQUEST if status >= 400 else FailureKind.MALFORMED


def text(value: Any) -> str:
    """A message, if it is one; it is looked up, never shown."""
    return value if isinstance(value, str) else ""


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
