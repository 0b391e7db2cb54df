"""Remembers what closed hours cost, so that a day of a million calls is added up once, then by its last hours."""

import datetime as dt
import uuid
from collections.abc import Sequence

from jobs.store import overview
from jobs.store.overview import HOURS, Spent
from jobs.store.session import Connection

SETTLED = dt.timedelta(hours=1)
"""An hour counts as settled so long after its end; until then it is read anew each time."""
RECHECK = dt.timedelta(minutes=15)
"""A bill booked still later (a call cut by a crash) is seen when everything is read again."""
PIECE = dt.timedelta(hours=4)
"""One statement reads so much, so that a day of many millions is not one that runs into its time-out."""
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


class Spending:
    """A tenant's closed calls of the last HOURS hours, the running one included: sums of rows, rebuilt from them."""

    def __init__(self) -> None:
        self._settled: list[Spent] = []
        self._settled_until = _NEVER
        self._rechecked = _NEVER

    async def read(self, connection: Connection, tenant_id: uuid.UUID, now: dt.datetime) -> Sequence[Spent]:
        """The rows by hour, model and policy; `now` is the database's clock."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        first = hour - dt.timedelta(hours=HOURS - 1)
        is_due = now - self._rechecked >= RECHECK
        since = first if is_due else max(first, self._settled_until)
        rows = [row for row in self._settled if first <= row.hour < since]
        while since <= hour:
            rows += await overview.spent_between(connection, tenant_id, since, since + PIECE)
            since += PIECE
        self._settled_until = hour - SETTLED
        self._settled = [row for row in rows if row.hour < self._settled_until]
        self._rechecked = now if is_due else self._rechecked
        return rows
