"""Tells a caller at submit what its budgets will not let happen: no call would fit, now or before the deadline."""

import math
import time
import uuid
from collections.abc import Sequence

from api.problems import Code, Problem
from jobs.store import budgets
from jobs.store.accounts import Key
from jobs.store.session import Database
from routing.allowance import Ceiling

REMEMBER_S = 1.0
"""A budget that is used up is noticed, and one that was raised, within this time (a new one with its key: 5 s)."""
MOST_REMEMBERED = 10_000


class Allowance:
    """Budgets of callers that have one; the others cost nothing. It guards nothing: a call's opening does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[uuid.UUID, tuple[float, list[Ceiling]]] = {}

    async def tight(self, key: Key) -> list[Ceiling]:
        """The key's budgets, if one of them has refused a call in its period; [] otherwise: nothing to judge."""
        if not key.has_budget:
            return []
        now = time.monotonic()
        seen = self._seen.get(key.id)
        if seen is not None and seen[0] > now:
            return seen[1]
        async with self._database.statement() as connection:
            found = await budgets.budgets_of_key(connection, key.tenant_id, key.id)
        is_tight = any(each.exhausted_at is not None or each.settled_usd >= each.cap_usd for each in found)
        ceilings = [
            Ceiling(each.id, each.cap_usd, each.settled_usd, each.reserved_usd, each.ends_in_s) for each in found
        ]
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen[key.id] = (now + REMEMBER_S, ceilings if is_tight else [])
        return self._seen[key.id][1]


def exhausted(ceilings: Sequence[Ceiling]) -> Problem:
    """The 429; `Retry-After` where waiting helps: when the last of the periods that end has ended."""
    ends = [ceiling.ends_in_s for ceiling in ceilings if ceiling.ends_in_s is not None]
    headers = {"retry-after": str(max(1, math.ceil(max(ends))))} if len(ends) == len(ceilings) else {}
    message = (
        "a budget is used up: no call that could carry this fits into what is left before its deadline;"
        " GET /v1/budgets (`tokenyard budgets list`) says which; raise its cap or wait for its period's end"
    )
    return Problem(Code.BUDGET_EXHAUSTED, message, headers=headers)
