"""A job as one frozen value: what the claim hands to a worker and every step passes on."""

import datetime as dt
import uuid
from decimal import Decimal

import msgspec

from jobs.chat import ChatRequest
from jobs.failures import FailureKind
from jobs.lanes import Lane
from jobs.policy import Intent
from jobs.states import Outcome


class PastAttempt(msgspec.Struct, frozen=True):
    """A closed attempt, as far as a plan must know it to continue instead of repeating."""

    id: uuid.UUID
    deployment: str
    tier: int
    outcome: Outcome
    failure: FailureKind | None = None
    confidence: float | None = None
    cost_usd: Decimal | None = None
    cost_bound_usd: Decimal = Decimal(0)
    finish_reason: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it uses up one of the job's attempts: waiting for a limit or a shutdown does not."""
        waited = self.failure is FailureKind.RATE_LIMITED
        return not waited and self.outcome not in {Outcome.NOT_SENT, Outcome.CANCELLED}

    @property
    def answered(self) -> bool:
        """Whether it has an answer in the payloads that a policy may still hand out."""
        return self.outcome in {Outcome.ACCEPTED, Outcome.REJECTED}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed job. `token` is the fence: every write that ends or moves the job must carry it."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    token: uuid.UUID
    lane: Lane
    policy: str
    request: ChatRequest
    created_at: dt.datetime
    deadline_at: dt.datetime
    time_left_s: float
    """Seconds to the deadline when it was claimed, by the database clock: a worker's own may be wrong."""
    task: str | None = None
    intent: Intent = Intent()
    strict: bool = False
    claims: int = 1
    """How often it was claimed, this time included."""
    past: tuple[PastAttempt, ...] = ()
    traceparent: str | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job on its way in: everything the row needs that the caller decides."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    lane: Lane
    policy: str
    request_raw: bytes
    model: str
    deadline_at: dt.datetime
    urgent_at: dt.datetime
    task: str | None = None
    intent: Intent = Intent()
    strict: bool = False
    custom_id: str | None = None
    metadata: dict[str, str] | None = None
    key_id: uuid.UUID | None = None
    """The API key that submitted it, whose budgets it is charged to."""
    batch_id: uuid.UUID | None = None
    batch_seq: int | None = None
    retry_of: uuid.UUID | None = None
    traceparent: str | None = None
    webhook_id: uuid.UUID | None = None
    """The endpoint that is told when the job ends."""
    released: bool = False
    """The API rings interactive jobs itself, so they are born released."""
