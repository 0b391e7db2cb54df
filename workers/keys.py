"""What is known against keys and their models: keys that are refused, and closings with their probes.

`LocalKeys` is one process's own opinion; `workers.shared_keys` makes it the fleet's.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import NamedTuple, Protocol

from jobs.failures import Failure
from routing import closing as rule
from routing import trouble as key_rule
from routing.breaker import PASS, Pass
from routing.closing import Closing, Reach, Refused
from routing.limits import Refusal
from routing.trouble import KEY_FAILURES, Trouble
from workers.counters import KeyName, Place


class Knock(NamedTuple):
    """How the closings let a call in: the whole key's, and its model's."""

    key: Pass = PASS
    model: Pass = PASS


OPEN = Knock()
"""Neither was closed."""


class Keys(Protocol):
    """What the gate asks about a key and its model before a call, and tells after it. Only `admit` may wait."""

    def held_back(self, place: Place) -> Refusal | None:
        """Why nobody may call there now. Asks nobody and takes no lease."""

    async def admit(self, place: Place, lease_s: float) -> Knock | Refusal:
        """Let a call in, as a probe where a closing's time is up. Refused, it holds no lease."""

    def record(
        self, place: Place, knock: Knock, failure: Failure | None, reach: Reach
    ) -> "asyncio.Future[None] | None":
        """How a call ended (None: with an answer), and what that closes. What comes back is done when all is told."""

    def excuse(self, place: Place, knock: Knock) -> None:
        """It was let in, but never made."""


class LocalKeys:
    """One process's opinion, by its own clock (s)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.closings: dict[Place, Closing] = {}
        """What is missing is open."""
        self.troubles: dict[KeyName, Trouble] = {}
        self.prints: dict[KeyName, str] = {}
        """Of each key's secret; empty where it does not matter."""

    def held_back(self, place: Place) -> Refusal | None:
        """See Keys."""
        if not self.closings and not self.troubles:
            return None
        now_s = self._clock()
        trouble = self.troubles.get(place.key)
        if trouble is not None and now_s < trouble.until_s:
            return Refusal("key_disabled", trouble.until_s - now_s)
        found = [rule.held_back(self.closings.get(each), now_s) for each in (Place(place.key), place)]
        return max(filter(None, found), key=lambda refusal: refusal.delay_s, default=None)

    async def admit(self, place: Place, lease_s: float) -> Knock | Refusal:
        """See Keys."""
        if not self.closings:
            return OPEN
        first = self.admit_one(Place(place.key), lease_s)
        if isinstance(first, Refusal):
            return first
        second = self.admit_one(place, lease_s)
        if isinstance(second, Refusal):
            self.excuse_one(Place(place.key), first)
            return second
        return Knock(first, second)

    def admit_one(self, place: Place, lease_s: float) -> Pass | Refusal:
        """What one closing says; a probe's lease is taken here."""
        known = self.closings.get(place)
        if known is None:
            return PASS
        known, verdict = rule.admit(known, self._clock(), lease_s, uuid.uuid4().hex)
        self.keep(place, known)
        return verdict

    def record(
        self, place: Place, knock: Knock, failure: Failure | None, reach: Reach
    ) -> "asyncio.Future[None] | None":
        """See Keys."""
        if failure is None:
            if self.closings or self.troubles:
                self._answered(place, knock)
            return None
        if (closed := closed_by(place, failure, reach)) is not None:
            let_in = knock.model if closed.model else knock.key
            self.close(closed, failure, let_in)
        elif reach is Reach.KEY:
            self.strike(place.key, failure)
        self.excuse(place, knock)
        return None

    def _answered(self, place: Place, knock: Knock) -> None:
        self.troubles.pop(place.key, None)
        for each, let_in in ((Place(place.key), knock.key), (place, knock.model)):
            self.keep(each, rule.succeed(self.closings.get(each), let_in))

    def close(self, place: Place, failure: Failure, let_in: Pass) -> None:
        """The provider refused a call there."""
        refused = Refused(failure.kind, self.prints.get(place.key, ""), failure.retry_after_s)
        self.closings[place] = rule.close(self.closings.get(place), self._clock(), refused, let_in)

    def strike(self, key: KeyName, failure: Failure) -> None:
        """The provider refused the key for all its models."""
        known = self.troubles.get(key)
        mine = self.prints.get(key, known.print if known else "")
        self.troubles[key] = key_rule.strike(known, self._clock(), failure.kind, mine)

    def excuse(self, place: Place, knock: Knock) -> None:
        """See Keys."""
        self.excuse_one(Place(place.key), knock.key)
        self.excuse_one(place, knock.model)

    def excuse_one(self, place: Place, let_in: Pass) -> None:
        """Give a probe's lease back; one that has ended the closing, or was refused, holds none any more."""
        if let_in.is_probe:
            self.keep(place, rule.excuse(self.closings.get(place), let_in))

    def keep(self, place: Place, known: Closing | None) -> None:
        """Remember how it stands now."""
        if known is None:
            self.closings.pop(place, None)
        else:
            self.closings[place] = known

    def forget_old(self) -> None:
        """Drop what was over long ago."""
        now_s = self._clock()
        self.closings = {place: known for place, known in self.closings.items() if rule.current(known, now_s)}


def closed_by(place: Place, failure: Failure, reach: Reach) -> Place | None:
    """What a failure closes: the model, the key, or (None) nothing; a key refused for all its models is a trouble."""
    if reach is Reach.NOTHING or (reach is Reach.KEY and failure.kind in KEY_FAILURES):
        return None
    return place if reach is Reach.MODEL else Place(place.key)
