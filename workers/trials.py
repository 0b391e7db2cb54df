"""Lets one call try a model that has not answered lately, before the others of that moment follow it.

A provider says that a model is limited only when it is called, and a bell brings many jobs at once: without this, all
of them would learn it together. A refusal comes back sooner than any answer, so the others wait a moment for it and no
longer. The moment is asked once; a model that answered is trusted for some minutes. Each process tries for itself.
"""

import asyncio
from collections.abc import Callable

from jobs.failures import FailureKind
from workers.counters import Place

HOLD_S = 0.5
"""Longest that a call waits for the one that tries: a 429 takes a round trip and, at first, a handshake."""
TRUST_S = 600.0
"""A place that answered is not tried again for so long."""
UNHEARD = frozenset(
    {FailureKind.CANCELLED, FailureKind.UNREACHABLE, FailureKind.UNSUPPORTED, FailureKind.TIMEOUT},
)
"""Ends of calls that the provider did not answer."""


class Trial:
    """A call that tries a place for the others of its moment."""

    def __init__(self, ends_s: float) -> None:
        self.ends_s = ends_s
        """By then (the loop's clock) the others follow."""
        self.over = asyncio.Event()


class Trials:
    """One process's trials; `clock` is monotonic, in seconds. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.hold_s = HOLD_S
        self._clock = clock
        self._trusted_s: dict[Place, float] = {}
        """Until when. There are as many places as the catalogue has models at the providers in use."""
        self._out: dict[Place, Trial] = {}

    def is_trusted(self, place: Place) -> bool:
        """Whether it answered lately."""
        return self._trusted_s.get(place, 0.0) > self._clock()

    async def turn(self, place: Place) -> bool:
        """Come back when a call may go there; whether it is the one that tries. That one must `end` it."""
        now_s = asyncio.get_running_loop().time
        patience_s = now_s() + self.hold_s
        while not self.is_trusted(place):
            trial = self._out.get(place)
            if trial is None:
                self._out[place] = Trial(now_s() + self.hold_s)
                return True
            left_s = min(trial.ends_s, patience_s) - now_s()
            if left_s <= 0:
                break  # it takes as long as an answer does
            try:
                async with asyncio.timeout(left_s):
                    await trial.over.wait()
            except TimeoutError:
                break
        return False

    def end(self, place: Place) -> None:
        """The call that tried came back, or was never made."""
        trial = self._out.pop(place, None)
        if trial is not None:
            trial.over.set()

    def heard(self, place: Place, failure: FailureKind | None, *, is_closed: bool) -> None:
        """How a call ended (None: with an answer), and whether its place is closed now."""
        if is_closed:
            self._trusted_s.pop(place, None)
        elif failure not in UNHEARD:
            self._trusted_s[place] = self._clock() + TRUST_S
