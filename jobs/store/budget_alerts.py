"""What happens to budgets by time and by crossing a line: new periods, alerts, and waking what a raised cap lets go on.

The sweeper looks every second. A line that was crossed is marked in the transaction that puts its event into the
outbox, so it is told once in a period, whoever sweeps and whatever dies.
"""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.store import outbox
from jobs.store.budgets import wake_waiting

ANY = text("select exists (select from budgets)")
# What the first opening of a new period would do as well: nobody needs to wait for one.
ROLL = text("""
with over as materialized (
    select id, date_trunc(period, now(), 'UTC') as starts from budgets
    where period <> 'total' and date_trunc(period, now(), 'UTC') > period_start order by id for update skip locked
)
update budgets b set period_start = over.starts, settled_usd = 0, reserved_usd = 0, told_percent = 0,
    exhausted_at = null, exhaustion_told_at = null
from over where b.id = over.id
""")
CROSSED = text("""
with crossed as materialized (
    select id, (
        select array_agg(p order by p) from unnest(alert_percents) p
        where p > told_percent and settled_usd * 100 >= cap_usd * p
    ) as percents
    from budgets order by id for update skip locked
)
update budgets b set told_percent = c.percents[cardinality(c.percents)]
from crossed c where b.id = c.id and c.percents is not null
returning b.id, b.tenant_id, b.key_id, b.period, b.period_start, b.cap_usd, b.settled_usd, b.reserved_usd, c.percents
""")
EXHAUSTED = text("""
update budgets b set exhaustion_told_at = now() where b.id in (
    select id from budgets where exhausted_at is not null and exhaustion_told_at is null order by id
    for update skip locked
)
returning b.id, b.tenant_id, b.key_id, b.period, b.period_start, b.cap_usd, b.settled_usd, b.reserved_usd,
    null::smallint[] as percents
""")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a budget has crossed. `percent` None: a call was refused, the budget is used up."""

    budget_id: uuid.UUID
    tenant_id: uuid.UUID
    key_id: uuid.UUID | None
    period: str
    period_start: dt.datetime
    cap_usd: Decimal
    settled_usd: Decimal
    reserved_usd: Decimal
    percent: int | None

    @property
    def event(self) -> str:
        """The type of the webhook's event."""
        return "budget.exhausted" if self.percent is None else "budget.threshold"

    def data(self) -> dict[str, Any]:
        """What the event tells: amounts as text, in USD."""
        told: dict[str, Any] = {
            "budget_id": ids.show("budget", self.budget_id),
            "key_id": ids.show("key", self.key_id) if self.key_id is not None else None,
            "period": self.period,
            "period_start": self.period_start.astimezone(dt.UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "cap_usd": f"{self.cap_usd:.12f}",
            "settled_usd": f"{self.settled_usd:.12f}",
            "reserved_usd": f"{self.reserved_usd:.12f}",
        }
        return told if self.percent is None else told | {"percent": self.percent}


async def look(connection: AsyncConnection) -> list[Alert]:
    """Begin new periods, wake what a raised cap lets go on, and put out the alerts that are due. Wants a transaction.

    Each is told, and returned, once in a period.
    """
    if not (await connection.execute(ANY)).scalar_one():
        return []
    await connection.execute(ROLL)
    await wake_waiting(connection)
    alerts = []
    for statement in (CROSSED, EXHAUSTED):
        for row in await connection.execute(statement):
            alerts += [
                Alert(
                    budget_id=row.id,
                    tenant_id=row.tenant_id,
                    key_id=row.key_id,
                    period=row.period,
                    period_start=row.period_start,
                    cap_usd=row.cap_usd,
                    settled_usd=row.settled_usd,
                    reserved_usd=row.reserved_usd,
                    percent=percent,
                )
                for percent in row.percents or (None,)
            ]
    for alert in alerts:
        await outbox.announce(connection, alert.tenant_id, alert.event, alert.data())
    return alerts
