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
    """408, 409, 500, 502, 503, 504, or the connection broke."""
    OVERLOADED = "overloaded"
    """The provider turns all customers away (529, `server_is_overloaded`)."""
    RATE_LIMITED = "rate_limited"
    """429 for our key: wait, do not count it against the provider."""
    NO_CREDIT = "no_credit"
    """The account is out of money (402, `insufficient_quota`): the key is useless until somebody pays."""
    BAD_KEY = "bad_key"
    """401 or 403: the key is wrong or may not do this."""
    MODEL_NOT_FOUND = "model_not_found"
    """404: this provider does not serve the model under this name."""
    BAD_REQUEST = "bad_request"
    """400, 413, 422: the same bytes will be refused again."""
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
