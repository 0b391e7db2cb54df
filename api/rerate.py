"""GET /v1/ledger/rerate: a period of the ledger under the catalogue's prices as they are known now."""

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response

from api import show
from api.auth import Admin
from api.front import front_of
from api.jobs import Plain
from api.ledger import TIME, Time, in_range
from api.problems import Code, Problem
from jobs.chat import USAGE_KINDS, Usage
from jobs.store import rerate
from routing.rerating import Booked, Difference, Rerating

router = APIRouter(tags=["ledger"])
MOST_CALLS = 1_000_000
"""About five seconds of work, a few milliseconds at a time."""


@router.get("/v1/ledger/rerate")
async def rerate_ledger(
    request: Request,
    key: Admin,
    since: Annotated[str, TIME],
    until: Time = None,
    deployment: Plain = None,
) -> Response:
    """What the calls of a period would cost by the prices valid on their days, as the catalogue knows them now.

    It changes nothing. Calls without usage can't be rated; calls on days without a price are counted, never 0.
    """
    front = front_of(request)
    first, end = in_range("since", since), in_range("until", until) or dt.datetime.now(dt.UTC)
    assert first is not None
    rerating, calls = Rerating(front.yard.catalog), 0
    async for rows in rerate.pages(front.database, key.tenant_id, first, end, deployment):
        calls += len(rows)
        if calls > MOST_CALLS:
            message = f"since: more than {MOST_CALLS:,} calls lie in this period; ask for a shorter one"
            raise Problem(Code.INVALID_VALUE, message, "since")
        for row in rows:
            rerating.add(_booked(row))
        await asyncio.sleep(0)
    return show.answer(
        {
            "object": "list",
            "since": show.moment(first),
            "until": show.moment(end),
            "catalog_version": front.yard.catalog.version,
            "data": [_line(line) for line in rerating.lines()],
        }
    )


def _booked(row: Any) -> Booked:
    usage = None
    if row.input_tokens is not None and row.output_tokens is not None:
        kinds = {name: getattr(row, name) or 0 for name in USAGE_KINDS}
        usage = Usage(row.input_tokens, row.output_tokens, **kinds)
    return Booked(row.deployment, row.day, usage, row.cost_usd, row.price_version)


def _line(line: Difference) -> show.JsonObject:
    fields = msgspec.structs.asdict(line)
    return {name: show.money(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
