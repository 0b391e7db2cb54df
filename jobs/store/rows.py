"""Rows on their way into the record: one constructor a transition, each taking only what that transition needs.

They travel as one JSON parameter (`jsonb_to_recordset`): a flush of many rows costs one round trip and one plan.
"""

import base64
import uuid
from decimal import Decimal
from typing import Any

import msgspec

from jobs.chat import USAGE_KINDS, Adaptation, Usage
from jobs.failures import Failure, FailureKind
from jobs.receipt import Receipt
from jobs.states import Outcome, State


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt about to be made: written before its bytes leave, or not at all if the job's token is stale."""

    id: uuid.UUID
    job_id: uuid.UUID
    token: uuid.UUID
    deployment: str
    model: str
    provider: str
    tier: int
    task: str | None = None
    sandbox: bool = False
    cost_bound_usd: Decimal | None = None
    """Most this call can cost; None when its price is unknown."""
    price_version: str | None = None


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended; booked by the attempt's own id, whoever comes late."""

    id: uuid.UUID
    outcome: Outcome
    failure: FailureKind | None = None
    status: int | None = None
    finish_reason: str | None = None
    confidence: float | None = None
    usage: Usage | None = None
    """None: the provider reported none, or nonsense."""
    cost_usd: Decimal | None = None
    """None is unknown (no usage, no price), never 0."""
    cost_basis: str = "none"
    first_token_ms: int | None = None
    total_ms: int | None = None
    answer: bytes | None = None
    """The answer exactly as received; kept for rejected answers too."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A running job's next state (or none: only its attempt closes), valid while its token holds."""

    job_id: uuid.UUID
    token: uuid.UUID
    closing: Closing | None = None
    state: State | None = None
    delay_s: float = 0.0
    failure: Failure | None = None
    receipt: Receipt | None = None
    adaptations: tuple[Adaptation, ...] = ()
    intent_kept: bool | None = None
    answer_attempt: uuid.UUID | None = None

    @classmethod
    def close(cls, job_id: uuid.UUID, token: uuid.UUID, closing: Closing) -> "Move":
        """The job goes on running; one of its attempts is closed."""
        return cls(job_id=job_id, token=token, closing=closing)

    @classmethod
    def succeed(cls, job_id: uuid.UUID, token: uuid.UUID, answer_attempt: uuid.UUID, closing: Closing | None) -> "Move":
        """From running to succeeded, with the attempt whose stored answer is the result."""
        return cls(job_id=job_id, token=token, state=State.SUCCEEDED, answer_attempt=answer_attempt, closing=closing)

    @classmethod
    def fail(cls, job_id: uuid.UUID, token: uuid.UUID, failure: Failure, closing: Closing | None) -> "Move":
        """From running to failed."""
        return cls(job_id=job_id, token=token, state=State.FAILED, failure=failure, closing=closing)

    @classmethod
    def expire(cls, job_id: uuid.UUID, token: uuid.UUID, closing: Closing | None) -> "Move":
        """From running to expired: the deadline came first; the bill is kept."""
        failure = Failure(FailureKind.DEADLINE_PASSED, "its deadline passed while it ran")
        return cls(job_id=job_id, token=token, state=State.EXPIRED, failure=failure, closing=closing)

    @classmethod
    def cancel(cls, job_id: uuid.UUID, token: uuid.UUID, closing: Closing | None) -> "Move":
        """From running to cancelled."""
        return cls(job_id=job_id, token=token, state=State.CANCELLED, closing=closing)

    @classmethod
    def defer(cls, job_id: uuid.UUID, token: uuid.UUID, delay_s: float, closing: Closing | None) -> "Move":
        """From running to queued, due again in `delay_s` by the database clock."""
        return cls(job_id=job_id, token=token, state=State.QUEUED, delay_s=delay_s, closing=closing)

    def with_story(
        self, receipt: Receipt, adaptations: tuple[Adaptation, ...], *, intent_kept: bool | None = None
    ) -> "Move":
        """The same move, with the receipt and what was adapted."""
        return msgspec.structs.replace(self, receipt=receipt, adaptations=adaptations, intent_kept=intent_kept)


def opening_rows(openings: list[Opening]) -> str:
    """The JSON parameter of `lifecycle.open_attempts`."""
    return msgspec.json.encode(openings).decode()


def move_rows(moves: list[Move]) -> str:
    """The JSON parameter of `lifecycle.settle`: job and attempt side by side in one flat row."""
    return msgspec.json.encode([_move_row(move) for move in moves]).decode()


def _move_row(move: Move) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job_id": move.job_id,
        "token": move.token,
        "state": move.state,
        "delay_s": move.delay_s,
        "error": move.failure,
        "receipt": move.receipt,
        "adaptations": move.adaptations or None,
        "intent_kept": move.intent_kept,
        "answer_attempt": move.answer_attempt,
    }
    closing = move.closing
    if closing is not None:
        row |= {
            "attempt_id": closing.id,
            "outcome": closing.outcome,
            "failure": closing.failure,
            "status": closing.status,
            "finish_reason": closing.finish_reason,
            "confidence": closing.confidence,
            "cost_usd": closing.cost_usd,
            "cost_basis": closing.cost_basis,
            "first_token_ms": closing.first_token_ms,
            "total_ms": closing.total_ms,
            "body": base64.b64encode(closing.answer).decode() if closing.answer is not None else None,
        }
        if closing.usage is not None:
            row |= _usage_row(closing.usage)
    return row


def _usage_row(usage: Usage) -> dict[str, int | None]:
    """The totals, and those kinds that there are any of: most calls have none, and the statement knows that."""
    row: dict[str, int | None] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    for name in USAGE_KINDS:
        if tokens := getattr(usage, name):
            row[name] = tokens
    return row
