"""GET /v1/ledger and /v1/usage: every call made, and sums of them."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api import show
from api.auth import Reader
from api.front import front_of
from api.jobs import Limit, Plain
from api.paths import read_reference, reference
from api.problems import Code, Problem
from api.schemas import moment_of
from jobs.states import Outcome
from jobs.store import ledger
from jobs.store.ledger import GROUPS, Filter

router = APIRouter(tags=["ledger"])


# A pattern, for the epoch's seconds are no time here, and ids carry times from 1970 on.
TIME = Query(json_schema_extra={"format": "date-time", "pattern": r"^(19[789][0-9]|[2-8][0-9]{3})-"})
Time = Annotated[str | None, TIME]
_NAMES = "|".join(GROUPS)
Groups = Annotated[str, Query(json_schema_extra={"pattern": f"^(({_NAMES})(,({_NAMES}))*)?$"})]


def _span(since: Time = None, until: Time = None) -> Filter:
    """When the calls were opened: from `since` on, before `until`."""
    return Filter(since=in_range("since", since), until=in_range("until", until))


def _which(
    span: Annotated[Filter, Depends(_span)],
    job: Annotated[str | None, reference("job")] = None,
    batch: Annotated[str | None, reference("batch")] = None,
    model: Plain = None,
    provider: Plain = None,
    task: Plain = None,
) -> dict[str, Any]:
    """The calls that are meant, as fields of a Filter."""
    return {
        "since": span.since,
        "until": span.until,
        "job_id": read_reference("job", "job", job),
        "batch_id": read_reference("batch", "batch", batch),
        "model": model,
        "provider": provider,
        "task": task,
    }


Which = Annotated[dict[str, Any], Depends(_which)]


@router.get("/v1/ledger")
async def list_ledger(
    request: Request,
    key: Reader,
    which: Which,
    outcome: Outcome | None = None,
    after: Annotated[str | None, reference("att")] = None,
    limit: Limit = 100,
) -> Response:
    """Provider calls, newest first; open ones have no outcome yet."""
    where = Filter(**which, outcome=outcome, after=read_reference("after", "att", after))
    async with front_of(request).database.statement() as connection:
        rows = await ledger.page(connection, key.tenant_id, where, limit + 1)
    return show.answer(show.listed([show.ledger_line(row) for row in rows], limit))


@router.get("/v1/usage")
async def usage(request: Request, key: Reader, which: Which, group_by: Groups = "") -> Response:
    """Calls, tokens, cost and latency, grouped by any of model, provider, deployment, task, key, day (with commas)."""
    groups = [name for name in group_by.split(",") if name]
    for name in groups:
        if name not in GROUPS:
            message = f"group_by: {name[:50]!r} is none of {', '.join(GROUPS)}"
            raise Problem(Code.INVALID_VALUE, message, "group_by")
    groups = list(dict.fromkeys(groups))
    async with front_of(request).database.statement() as connection:
        rows = await ledger.usage(connection, key.tenant_id, Filter(**which), groups)
    return show.answer({"object": "list", "group_by": groups, "data": [_line(row, groups) for row in rows]})


def _line(row: Any, groups: list[str]) -> show.JsonObject:
    return {name: _group(name, getattr(row, name)) for name in groups} | {
        "calls": row.calls,
        "jobs": row.jobs,
        "accepted": row.accepted,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": None if row.cost_usd is None and row.unknown_cost else show.money(row.cost_usd or Decimal(0)),
        "cost_bound_usd": show.money(row.cost_bound_usd),
        "unknown_cost": row.unknown_cost,
        "unpriced": row.unpriced,
        "latency_p50_ms": row.latency_p50_ms,
        "latency_p95_ms": row.latency_p95_ms,
    }


def _group(name: str, value: Any) -> Any:
    return show.shown("key", value) if name == "key" else value


def in_range(name: str, text: str | None) -> dt.datetime | None:
    """Ids carry times from 1970 on; what lies outside is a mistake."""
    if text is None:
        return None
    value = moment_of(name, text)
    if not 1970 <= value.year <= 8999:
        raise Problem(Code.INVALID_VALUE, f"{name}: must be a time after 1970", name)
    return value
