"""How a job stands, as far as who waits for its end is told, and what its calls cost together."""

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from jobs.states import State


class Cost(msgspec.Struct, frozen=True):
    """What calls cost together. `usd` sums the known amounts; None when there are calls and none is known."""

    usd: Decimal | None
    bound_usd: Decimal | None
    """Known amounts plus the most the unknown ones can be; None when one has no bound either."""
    is_complete: bool

    @classmethod
    def of(cls, row: Any) -> "Cost":
        """From a row with the columns of the cost query."""
        usd = row.cost_usd if row.unknown_cost and row.cost_usd is None else row.cost_usd or Decimal(0)
        bound = None if row.unknown_bound else row.cost_bound_usd or Decimal(0)
        return cls(usd, bound, row.unknown_cost == 0)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A job as far as who waits for it is told."""

    state: State
    ended_for_s: float
    """How long ago it ended; 0 while it has not."""
    error: Mapping[str, Any] | None
    answer: bytes | None
    """The stored bytes; None without an answer, or when it was purged."""
    attempt: uuid.UUID | None
    """Whose answer it is."""
    turn: int
    """Which attempt of the job that is, from 1; 0 without an answer."""
    deployment: str | None
    cost: Cost
    calls: int
    adaptations: int
    is_purged: bool
