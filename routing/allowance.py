"""Decides how long a call waits that its tenant's budgets have no room for, and which of them are used up."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import msgspec

from routing.limits import Refusal

IN_FLIGHT_S = 2.0
"""Wait where only open calls are in the way: they close in seconds, most of them below their bound."""
LOOK_AGAIN_S = 3600.0
"""Wait where only somebody's decision can help (a higher cap, a price): that wakes the job, this is for its loss."""
AT_ONCE_S = 0.0
"""There was no room when it was asked, and there is by now."""


class Ceiling(msgspec.Struct, frozen=True):
    """A budget as a call meets it. `ends_in_s` None: its period never ends."""

    id: UUID
    cap_usd: Decimal
    settled_usd: Decimal
    reserved_usd: Decimal
    ends_in_s: float | None = None


class Wait(msgspec.Struct, frozen=True):
    """How long to stay away, and the budgets in which nothing is left for this call whatever the open ones cost."""

    refusal: Refusal
    exhausted: tuple[UUID, ...]


def wait_for(ceilings: Sequence[Ceiling], bound_usd: Decimal | None) -> Wait:
    """Until the last of the budgets in the way has room. A call of unknown price (None) fits into no budget."""
    delay_s = AT_ONCE_S
    exhausted: list[UUID] = []
    for ceiling in ceilings:
        if bound_usd is None:
            delay_s = max(delay_s, LOOK_AGAIN_S)
        elif ceiling.settled_usd + bound_usd > ceiling.cap_usd:
            exhausted.append(ceiling.id)
            delay_s = max(delay_s, LOOK_AGAIN_S if ceiling.ends_in_s is None else ceiling.ends_in_s)
        elif ceiling.settled_usd + ceiling.reserved_usd + bound_usd > ceiling.cap_usd:
            delay_s = max(delay_s, IN_FLIGHT_S)
    return Wait(Refusal("budget", delay_s), tuple(exhausted))


def has_room(ceilings: Sequence[Ceiling], bounds_usd: Sequence[Decimal | None], time_left_s: float) -> bool:
    """Whether a job could still be called before its deadline: now, once open calls have closed, or in a new period.

    `bounds_usd` are the upper bounds of its candidates' calls; one that fits is enough.
    """
    return any(
        bound_usd is not None
        and all(
            ceiling.settled_usd + bound_usd <= ceiling.cap_usd
            or (ceiling.ends_in_s is not None and ceiling.ends_in_s < time_left_s and bound_usd <= ceiling.cap_usd)
            for ceiling in ceilings
        )
        for bound_usd in bounds_usd
    )
