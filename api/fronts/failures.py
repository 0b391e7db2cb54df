"""What a caller who waits is told of a job that did not succeed: one status for each kind of failure, a closed list.

The official SDKs choose the exception by the status. `x-should-retry: false` keeps them from sending the job anew: it
was tried wherever its policy allows, and each resend would be a new job with a new bill.
"""

import uuid
from collections.abc import Mapping

import msgspec
from fastapi import Response

from api.problems import Code, Kind
from jobs import ids
from jobs.ending import Ending
from jobs.failures import FailureKind
from jobs.states import State

STATUSES: dict[FailureKind, int] = {
    FailureKind.BAD_REQUEST: 400,
    FailureKind.CONTENT_FILTER: 400,
    FailureKind.CONTEXT_TOO_LONG: 400,
    FailureKind.OVER_LIMIT: 400,
    FailureKind.FIELD_REFUSED: 400,
    FailureKind.UNSUPPORTED: 400,
    FailureKind.CANCELLED: 409,
    FailureKind.INTENT_INFEASIBLE: 422,
    FailureKind.OVER_BUDGET: 422,
    FailureKind.WORKER_DEATHS: 500,
    FailureKind.INTERNAL: 500,
    FailureKind.NO_CREDIT: 502,
    FailureKind.BAD_KEY: 502,
    FailureKind.MODEL_NOT_FOUND: 502,
    FailureKind.MODEL_DENIED: 502,
    FailureKind.TRANSIENT: 502,
    FailureKind.TRUNCATED: 502,
    FailureKind.MALFORMED: 502,
    FailureKind.EMPTY_ANSWER: 502,
    FailureKind.INVALID_ANSWER: 502,
    FailureKind.LOW_CONFIDENCE: 502,
    FailureKind.UNKNOWN_ATTEMPT: 502,
    FailureKind.UNREACHABLE: 503,
    FailureKind.OVERLOADED: 503,
    FailureKind.RATE_LIMITED: 503,
    FailureKind.TIMEOUT: 504,
    FailureKind.DEADLINE_PASSED: 504,
}
"""400 and 422: mend the request or its intent; 409: somebody cancelled it; 502 to 504: no provider could; 500: us."""
CODES: dict[FailureKind, str] = {FailureKind.CONTEXT_TOO_LONG: Code.CONTEXT_TOO_LONG}
"""Where OpenAI has a code of its own that its clients look for; else the kind is the code."""
NEVER_AGAIN = {"x-should-retry": "false"}


class Failed(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    code: str
    """A kind of failure (or its name at OpenAI), `job_purged`, or for streams `stream_broken`."""
    message: str
    status: int

    def error(self, job_id: uuid.UUID) -> dict[str, object]:
        """The `error` object; OpenAI's, and the job's id."""
        kind = Kind.INVALID if self.status < 500 else Kind.SERVER
        name = ids.show("job", job_id)
        message = f"{self.message}; GET /v1/jobs/{name} has the whole story"
        param = "messages" if self.code == Code.CONTEXT_TOO_LONG else None
        return {"message": message, "type": kind, "param": param, "code": self.code, "job": name}


LATE = Failed(FailureKind.DEADLINE_PASSED, "the job did not end by its deadline", STATUSES[FailureKind.DEADLINE_PASSED])
PURGED = Failed("job_purged", "the answer was erased; its costs stay in the ledger", 409)
BROKEN = Failed(
    "stream_broken", "the answer broke off, or was mended afterwards, and what was shown cannot be unsaid", 502
)


def failed(ending: Ending | None) -> Failed:
    """Why a job that has ended gives no answer; None: it did not end in time."""
    if ending is None:
        return LATE
    if ending.state is State.SUCCEEDED:
        return PURGED
    told = ending.error or {"kind": _KINDS[ending.state], "message": f"the job was {ending.state.value}"}
    kind = FailureKind(told["kind"])
    return Failed(CODES.get(kind, kind), told["message"], STATUSES[kind])


_KINDS = {
    State.CANCELLED: FailureKind.CANCELLED,
    State.EXPIRED: FailureKind.DEADLINE_PASSED,
    State.FAILED: FailureKind.INTERNAL,
}


def refusal(failure: Failed, job_id: uuid.UUID, headers: Mapping[str, str]) -> Response:
    """The failure as a response."""
    body = msgspec.json.encode({"error": failure.error(job_id)})
    return Response(body, failure.status, {**headers, **NEVER_AGAIN}, media_type="application/json")
