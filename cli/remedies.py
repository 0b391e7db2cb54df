"""What a user can do about each kind of failure; `tokenyard why` ends with it."""

from jobs.failures import FailureKind

MEANINGS: dict[str, str] = {
    FailureKind.UNREACHABLE: "no connection was made",
    FailureKind.TIMEOUT: "it took too long",
    FailureKind.TRANSIENT: "the provider had an error of its own, or the connection broke",
    FailureKind.OVERLOADED: "the provider was turning everybody away",
    FailureKind.RATE_LIMITED: "our key had used up its rate limit there",
    FailureKind.NO_CREDIT: "our account there is out of money or at its limit",
    FailureKind.BAD_KEY: "our key is wrong there or may not do this",
    FailureKind.MODEL_NOT_FOUND: "the provider does not serve the model under that name",
    FailureKind.MODEL_DENIED: "our key may not use this model there",
    FailureKind.BAD_REQUEST: "the provider refused the request",
    FailureKind.CONTENT_FILTER: "the provider's filter refused the prompt",
    FailureKind.FIELD_REFUSED: "the provider refused a field of the request",
    FailureKind.OVER_LIMIT: "this request alone needs more than a limit there allows",
    FailureKind.CONTEXT_TOO_LONG: "the prompt did not fit the model's window",
    FailureKind.TRUNCATED: "the answer broke off",
    FailureKind.MALFORMED: "the answer could not be read",
    FailureKind.EMPTY_ANSWER: "the answer was empty",
    FailureKind.INVALID_ANSWER: "the answer did not keep its schema",
    FailureKind.UNSUPPORTED: "it cannot carry a part of the request",
    FailureKind.WORKER_DEATHS: "workers died again and again while they ran it",
    FailureKind.DEADLINE_PASSED: "its deadline came first",
    FailureKind.CANCELLED: "its owner cancelled it",
    FailureKind.LOW_CONFIDENCE: "no answer was sure enough for the policy",
    FailureKind.OVER_BUDGET: "no further call fitted into max_cost_usd",
    FailureKind.INTENT_INFEASIBLE: "nothing could meet what it asks for",
    FailureKind.UNKNOWN_ATTEMPT: "a crash cut a call, so nobody knows whether it was answered",
    FailureKind.INTERNAL: "a defect of Tokenyard",
}
"""What happened, as the end of a sentence."""

_AGAIN = "That usually passes: retry the job. If it does not, add a second provider of the model to the policy's tier."
REMEDIES: dict[str, str] = {
    FailureKind.UNREACHABLE: "Check base_url and the network between the workers and the provider, then retry the job.",
    FailureKind.TIMEOUT: "Raise the policy's timeout_s, ask for less (max_tokens), or name a faster model.",
    FailureKind.TRANSIENT: _AGAIN,
    FailureKind.OVERLOADED: _AGAIN,
    FailureKind.RATE_LIMITED: "Give the provider's key its true limits in tokenyard.toml, or add a key or a provider.",
    FailureKind.NO_CREDIT: "Pay in at the provider, then retry the job.",
    FailureKind.BAD_KEY: "Set the right key in the environment of the workers, restart them, then retry the job.",
    FailureKind.MODEL_NOT_FOUND: "Correct the deployment's `upstream` in the catalogue, or take it out of the policy.",
    FailureKind.MODEL_DENIED: "Get access to the model at the provider, or take the deployment out of the policy.",
    FailureKind.BAD_REQUEST: "Correct the request and submit it anew: the same one would be refused again.",
    FailureKind.CONTENT_FILTER: "Reword the prompt and submit it anew: a filter refuses the same one again.",
    FailureKind.FIELD_REFUSED: "Leave out the field that `tokenyard providers` names for that deployment.",
    FailureKind.OVER_LIMIT: "Shorten the prompt, lower max_tokens, or get a higher limit at the provider.",
    FailureKind.CONTEXT_TOO_LONG: "Shorten the prompt, or add a model with a larger window to the policy.",
    FailureKind.TRUNCATED: _AGAIN,
    FailureKind.MALFORMED: "Retry the job; if it stays so, the provider's `dialect` in tokenyard.toml may be wrong.",
    FailureKind.EMPTY_ANSWER: "Raise max_tokens (thinking may have used them all up), or name another model.",
    FailureKind.INVALID_ANSWER: "Loosen the schema, or name a model that keeps schemas (GET /v1/models).",
    FailureKind.UNSUPPORTED: "The message names the part: leave it out, or name a model that takes it.",
    FailureKind.WORKER_DEATHS: "Look into the workers' logs for what killed them (memory, most often) before a retry.",
    FailureKind.DEADLINE_PASSED: "Submit it with a later deadline or in a faster lane, or add workers.",
    FailureKind.CANCELLED: "Retry the job if that was a mistake.",
    FailureKind.LOW_CONFIDENCE: 'Lower min_confidence, add a better tier, or set on_exhausted = "best_effort".',
    FailureKind.OVER_BUDGET: "Raise max_cost_usd, lower max_tokens, or put a cheaper model into the policy.",
    FailureKind.INTENT_INFEASIBLE: "Loosen what the job asks for, or add a deployment to the policy that can meet it.",
    FailureKind.UNKNOWN_ATTEMPT: 'Retry the job (the cut call may be billed twice), or set on_unknown = "repeat".',
    FailureKind.INTERNAL: "Look for the job's id in the workers' logs and report what stands there.",
}
"""What to do."""


def meaning(kind: str) -> str:
    """What a kind means; one that only a newer yard knows is named as it is."""
    return f"{MEANINGS[kind]} ({kind})" if kind in MEANINGS else kind


def remedy(kind: str) -> str:
    """What to do about a kind of failure."""
    return REMEDIES.get(kind, "This command does not know the failure; the yard is newer. GET /docs explains it.")
