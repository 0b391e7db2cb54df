"""The shapes of what the API answers: jobs, attempts, batches, lists; times in RFC 3339, money as text."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import Response

from jobs import ids
from jobs.chat import USAGE_KINDS
from jobs.ending import Cost
from jobs.job import Submission

JsonObject = dict[str, Any]
STATES = ("queued", "running", "succeeded", "failed", "cancelled", "expired")


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def moment(value: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, `2026-12-01T00:00:00.000Z`."""
    if value is None:
        return None
    return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def money(value: Decimal | None) -> str | None:
    """An amount in USD with its 12 decimals."""
    return None if value is None else f"{value:.12f}"


def shown(prefix: str, value: uuid.UUID | None) -> str | None:
    """An outside id, or null."""
    return None if value is None else ids.show(prefix, value)


def accepted(submission: Submission) -> JsonObject:
    """The answer to a submit: the job as it was committed."""
    return {
        "id": ids.show("job", submission.id),
        "object": "job",
        "state": "queued",
        "lane": submission.lane.value,
        "policy": submission.policy,
        "custom_id": submission.custom_id,
        "created_at": moment(ids.moment_of(submission.id)),
        "deadline_at": moment(submission.deadline_at),
    }


def error(kind_and_message: Mapping[str, Any] | None) -> JsonObject | None:
    """A job's failure in the shape of OpenAI's errors; `code` is the kind of failure."""
    if kind_and_message is None:
        return None
    kind = kind_and_message["kind"]
    blame = "invalid_request_error" if kind in _CALLERS else "job_error"
    return {"type": blame, "code": kind, "message": kind_and_message["message"], "param": None}


_CALLERS = frozenset(
    {
        *("bad_request", "field_refused", "content_filter", "context_too_long", "over_limit"),
        *("intent_infeasible", "over_budget", "cancelled"),
    }
)


def job_summary(row: Any, cost: Cost, *, sandbox: bool) -> JsonObject:
    """A job without what may be long: in lists, and the first part of the job itself."""
    return {
        "id": ids.show("job", row.id),
        "object": "job",
        "state": row.state,
        "lane": row.lane,
        "policy": row.policy,
        "model": row.model,
        "task": row.task,
        "intent": row.intent,
        "strict": row.strict,
        "custom_id": row.custom_id,
        "metadata": row.metadata,
        "batch_id": shown("batch", row.batch_id),
        "retry_of": shown("job", row.retry_of),
        "webhook": shown("wh", row.webhook_id),
        "error": error(row.error),
        "cost_usd": money(cost.usd),
        "cost_bound_usd": money(cost.bound_usd),
        "cost_complete": cost.is_complete,
        "intent_kept": row.intent_kept,
        "adaptations": row.adaptations or [],
        "sandbox": sandbox,
        "created_at": moment(row.created_at),
        "deadline_at": moment(row.deadline_at),
        "started_at": moment(row.started_at),
        "finished_at": moment(row.finished_at),
        "cancel_requested_at": moment(row.cancel_requested_at),
        "purged_at": moment(row.purged_at),
    }


def job(row: Any) -> JsonObject:
    """A job whole: result, attempts, receipt."""
    attempts = row.attempts or []
    cost = _cost_of(attempts)
    summary = job_summary(row, cost, sandbox=any(attempt["sandbox"] for attempt in attempts))
    return summary | {
        "result": one_line(row.answer) if row.answer is not None else None,
        "attempts": [_attempt_of_job(attempt) for attempt in attempts],
        "receipt": row.receipt or {},
    }


def one_line(body: bytes) -> msgspec.Raw:
    """A stored answer inside another document: as it is, but without line breaks between its parts."""
    raw = bytes(body)
    return msgspec.Raw(msgspec.json.format(raw, indent=-1) if b"\n" in raw else raw)


def ledger_line(row: Any) -> JsonObject:
    """An attempt in the ledger."""
    return {
        "id": ids.show("att", row.id),
        "object": "attempt",
        "job_id": ids.show("job", row.job_id),
        "key_id": shown("key", row.key_id),
        "deployment": row.deployment,
        "model": row.model,
        "provider": row.provider,
        "task": row.task,
        "tier": row.tier,
        "outcome": row.outcome,
        "failure": row.failure,
        "status": row.status,
        "finish_reason": row.finish_reason,
        "confidence": row.confidence,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        **{name: getattr(row, name) for name in USAGE_KINDS},
        "cost_usd": money(row.cost_usd),
        "cost_bound_usd": money(row.cost_bound_usd),
        "cost_basis": row.cost_basis,
        "price_version": row.price_version,
        "first_token_ms": row.first_token_ms,
        "total_ms": row.total_ms,
        "sandbox": row.sandbox,
        "opened_at": moment(row.opened_at),
        "closed_at": moment(row.closed_at),
    }


def delivery(row: Any) -> JsonObject:
    """A webhook's event with its tries."""
    return {
        "id": ids.show("evt", row.id),
        "object": "delivery",
        "type": row.type,
        "state": row.state,
        "job_id": shown("job", row.job_id),
        "batch_id": shown("batch", row.batch_id),
        "created_at": moment(row.created_at),
        "delivered_at": moment(row.delivered_at),
        "next_try_at": moment(row.next_try_at),
        "tries": [each | {"started_at": moment(_parsed(each["started_at"]))} for each in row.tries or []],
    }


def listed(entries: Sequence[JsonObject], limit: int) -> JsonObject:
    """OpenAI's list; `entries` may hold one more than `limit`, which then only says that there is more."""
    page = entries[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(entries) > limit,
    }


def _attempt_of_job(attempt: JsonObject) -> JsonObject:
    times = {name: moment(_parsed(attempt[name])) for name in ("opened_at", "closed_at")}
    return attempt | times | {"id": ids.show("att", uuid.UUID(attempt["id"]))}


def _parsed(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def _cost_of(attempts: Sequence[JsonObject]) -> Cost:
    """The sum of a job's attempts, by the same rule as the query of many jobs: see `jobs.ending.Cost`."""
    known = [Decimal(attempt["cost_usd"]) for attempt in attempts if attempt["cost_usd"] is not None]
    unknown = [attempt for attempt in attempts if attempt["cost_usd"] is None and attempt["outcome"] != "not_sent"]
    usd = sum(known, Decimal(0)) if known or not unknown else None
    bounds = [attempt["cost_bound_usd"] for attempt in unknown]
    bound = None if None in bounds else sum(known, Decimal(0)) + sum(map(Decimal, bounds), Decimal(0))
    return Cost(usd, bound, not unknown)
