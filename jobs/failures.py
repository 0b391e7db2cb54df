"""The closed list of what can go wrong with a call or a job. Decisions look at the kind, never at a text."""

from enum import StrEnum

import msgspec


class FailureKind(StrEnum):
    """A class of failure with one remedy (`routing.standing.REMEDIES`)."""

    # The call: the road or the provider.
    UNREACHABLE = "unreachable"
    """No connection was made: nothing was sent, nothing can be billed."""
    TIMEOUT = "timeout"
    """One of the four clocks ran out (connect counts as unreachable)."""
    TRANSIENT = "transient"
    """408, 409, 424, 500, 502, 503, 504, or the connection broke."""
    OVERLOADED = "overloaded"
    """The provider turns all customers away (529, `server_is_overloaded`)."""
    RATE_LIMITED = "rate_limited"
    """429 for our key: wait, do not count it against the provider."""
    NO_CREDIT = "no_credit"
    """The account is out of money or at a spend or usage limit: the key is useless until somebody pays or it resets."""
    BAD_KEY = "bad_key"
    """401 or 403: the key is wrong or may not do this."""
    MODEL_NOT_FOUND = "model_not_found"
    """404: this provider does not serve the model under this name."""
    MODEL_DENIED = "model_denied"
    """This key may not use this model (not bought, not verified, no access); it works on for its other models."""
    BAD_REQUEST = "bad_request"
    """400, 422: the provider refused the request, and gave no reason that is known. One other candidate is asked."""
    CONTENT_FILTER = "content_filter"
    """The provider's filter refused the prompt; it is shown to nobody else."""
    OVER_LIMIT = "over_limit"
    """This request alone needs more than a limit here ever gives: tokens a minute, bytes, credit for its max_tokens."""
    FIELD_REFUSED = "field_refused"
    """400 for a field of which nobody knew whether the provider takes it: the same call is made without it."""
    CONTEXT_TOO_LONG = "context_too_long"
    """The prompt does not fit this model's window."""
    # The call: the answer.
    TRUNCATED = "truncated"
    """The stream or body ended without its terminal marker."""
    MALFORMED = "malformed"
    """The body is not what the dialect says it must be."""
    EMPTY_ANSWER = "empty_answer"
    """A normal finish with nothing in it."""
    INVALID_ANSWER = "invalid_answer"
    """The answer does not keep the schema that was asked for, or calls a tool that is not there or in a wrong way."""
    UNSUPPORTED = "unsupported"
    """The model or its wire cannot carry a part of the request: nothing was sent."""
    # The job.
    WORKER_DEATHS = "worker_deaths"
    """Workers died again and again while they ran it."""
    DEADLINE_PASSED = "deadline_passed"
    """The job's deadline came first."""
    CANCELLED = "cancelled"
    """Its owner cancelled it."""
    LOW_CONFIDENCE = "low_confidence"
    """Every answer stayed below the policy's min_confidence, and the policy says to fail then."""
    OVER_BUDGET = "over_budget"
    """No further call fits into the intent's max_cost_usd."""
    INTENT_INFEASIBLE = "intent_infeasible"
    """No deployment can meet what the job asks for."""
    UNKNOWN_ATTEMPT = "unknown_attempt"
    """A crash cut a call and the policy says `on_unknown = "fail"`."""
    INTERNAL = "internal"
    """A defect of Tokenyard; the log has the traceback under the job's id. One call's costs the call, not the job."""


class Scope(StrEnum):
    """What a provider's refusal speaks of: so much of the key is closed or rested, and no more."""

    REQUEST = "request"
    """This request only: the key works on for every other one."""
    MODEL = "model"
    """This key for this model of the provider's. What is not known to reach further counts as this."""
    ACCOUNT = "account"
    """The whole key or its account: a wrong key, no money, a spend limit, a rate limit of the whole organisation."""


class TokenLimit(msgspec.Struct, frozen=True):
    """The most that a rate limit ever gives at once, as a provider's reply names it."""

    tokens: int
    has_output: bool
    """The output that was asked for counts, too; else only the prompt does."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, as data. `message` is safe to show: it never holds a prompt or a key."""

    kind: FailureKind
    message: str
    status: int | None = None
    """HTTP status of the provider, if it answered."""
    code: str | None = None
    """The provider's own error code, cut to 100 characters."""
    retry_after_s: float | None = None
    """How long the provider asked us to stay away."""
    scope: Scope = Scope.MODEL
    """How far the refusal reaches; the gate closes and rests by it."""
    limit: TokenLimit | None = None
    """The limit that refused the call; None: not told."""
    field: str | None = None
    """Path into the request that the provider complains of: `reasoning_effort`, `messages[2].content`."""
