"""A batch as the API shows it: OpenAI's Batch object, with what a yard knows beyond it in fields of its own."""

import datetime as dt
from decimal import Decimal
from typing import Any

from api.show import STATES, JsonObject, money, shown
from jobs import ids
from jobs.ending import Cost
from jobs.store.reads import BatchView
from jobs.store.submit import Batch

DEFAULT_ENDPOINT = "/v1/chat/completions"
"""Every job is a chat completion, those of a bulk submit too."""


def epoch_s(moment: dt.datetime | None) -> int | None:
    """A time as OpenAI's objects have it: whole Unix seconds."""
    return None if moment is None else int(moment.timestamp())


def batch(view: BatchView) -> JsonObject:
    """A batch with OpenAI's fields, and its counts by state, costs and estimate."""
    return _official(view) | {
        "total": view.total,
        "skipped": view.skipped,
        "counts": {state: view.counts.get(state, 0) for state in STATES},
        "webhook": shown("wh", view.webhook_id),
        "cost_usd": money(view.cost.usd),
        "cost_bound_usd": money(view.cost.bound_usd),
        "cost_complete": view.cost.is_complete,
        "calls": view.calls,
        "input_tokens": view.input_tokens,
        "output_tokens": view.output_tokens,
        "sandbox": view.sandbox,
        "eta_s": view.eta_s,
        "finished_at": epoch_s(view.finished_at),
        "took_s": None if view.finished_at is None else (view.finished_at - view.created_at).total_seconds(),
    }


def new_batch(made: Batch) -> JsonObject:
    """The answer to a bulk submit."""
    return {
        "id": ids.show("batch", made.id),
        "object": "batch",
        "total": made.total,
        "skipped": made.skipped,
        "created_at": epoch_s(ids.moment_of(made.id)),
    }


def fresh(made: Batch) -> BatchView:
    """The view of a batch that is only just being written: all of it waits."""
    return BatchView(
        id=made.id,
        total=made.total,
        skipped=made.skipped,
        metadata=made.metadata,
        created_at=ids.moment_of(made.id),
        cancelled_at=None,
        webhook_id=made.webhook_id,
        origin=made.origin,
        counts={"queued": made.total},
        started_at=None,
        finished_at=None,
        eta_s=None if made.total else 0.0,
        cost=Cost(Decimal(0), Decimal(0), is_complete=True),
        calls=0,
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        reasoning_tokens=None,
        sandbox=False,
    )


def status(view: BatchView) -> str:
    """OpenAI's word for where a batch is. `finalizing` is never seen: outputs are made when they are read."""
    if view.origin is not None and view.origin.errors:
        return "failed"
    if view.counts.get("queued", 0) + view.counts.get("running", 0):
        return "in_progress" if view.cancelled_at is None else "cancelling"
    if view.cancelled_at is not None:
        return "cancelled"
    return "expired" if view.counts.get("expired", 0) else "completed"


def _official(view: BatchView) -> JsonObject:
    """The fields of OpenAI's Batch; those of a state that was not reached are left out, as there."""
    now_at, origin = status(view), view.origin
    failed = view.total - view.counts.get("succeeded", 0)
    open_jobs = view.counts.get("queued", 0) + view.counts.get("running", 0)
    has_ended = now_at not in ("in_progress", "cancelling")
    fields: JsonObject = {
        "id": ids.show("batch", view.id),
        "object": "batch",
        "endpoint": DEFAULT_ENDPOINT if origin is None else origin.endpoint,
        # A bulk submit has no file, and the official type wants a text.
        "input_file_id": "" if origin is None else ids.show("file", origin.input_file_id),
        "completion_window": "" if origin is None else origin.completion_window,
        "status": now_at,
        "created_at": epoch_s(view.created_at),
        "request_counts": {
            "total": view.total,
            "completed": view.counts.get("succeeded", 0),
            "failed": failed - open_jobs,
        },
    }
    ends = {"completed": "completed_at", "expired": "expired_at", "failed": "failed_at", "cancelled": "cancelled_at"}
    times = {
        "in_progress_at": view.started_at,
        "cancelling_at": view.cancelled_at,
        ends.get(now_at, ""): view.finished_at or view.created_at,
        "expires_at": None if origin is None else origin.expires_at,
    }
    fields |= {name: epoch_s(moment) for name, moment in times.items() if name and moment is not None}
    if view.metadata:
        fields["metadata"] = view.metadata
    if has_ended and view.input_tokens is not None:
        fields["usage"] = _usage(view, view.input_tokens)
    if origin is not None:
        fields |= _files(view, has_ended=has_ended)
    return fields


def _files(view: BatchView, *, has_ended: bool) -> JsonObject:
    origin = view.origin
    assert origin is not None, "asked only of batches that were made from a file"
    fields: JsonObject = {}
    if origin.errors:
        fields["errors"] = {"object": "list", "data": list(origin.errors)}
    succeeded = view.counts.get("succeeded", 0)
    if has_ended and succeeded:
        fields["output_file_id"] = ids.show("file", origin.output_file_id)
    if has_ended and view.total > succeeded:
        fields["error_file_id"] = ids.show("file", origin.error_file_id)
    return fields


def _usage(view: BatchView, given: int) -> dict[str, Any]:
    """Of all attempts. The details count what providers told; the official type has no word for unknown."""
    made = view.output_tokens or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": view.cached_tokens or 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": view.reasoning_tokens or 0},
        "total_tokens": given + made,
    }
