"""Keeps the token estimates of a process up to date: tells the record what usage taught, hears what others learnt."""

import asyncio
import datetime as dt
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from jobs.store import lessons as store
from jobs.store.session import Database, StoreUnavailable
from routing.learn.fits import NOTHING_LEARNT, Fit, fit
from routing.learn.sums import SEEN, Observation, add, is_plausible, nothing
from routing.tokens import InputEstimate

log = logging.getLogger(__name__)

ROUND_S = 5.0
MOST_IN_A_ROUND = 200
"""Observations of a process that are taken up in a round; a busy worker's others would teach nothing new."""
MOST_FITS = 8
"""Deployments whose weights are worked out in a round, some 10 ms each; the rest come in the next."""
MOST_UNTOLD = 500
"""Sums kept while Postgres is away, in deployments and kinds."""
GROWTH = 0.05
"""Weights are worked out again when a deployment's observations grew by this share."""
OVERLAP = dt.timedelta(seconds=30)
"""What is written at once may be seen out of order."""
FORGET_DAYS = 90
FORGET_S = 86_400.0
GRACE_S = 3.0
"""How long a round may go on when its process stops."""

T = TypeVar("T")


class Seen(NamedTuple):
    """A prompt and what was billed for it."""

    deployment: str
    guess: InputEstimate
    tokens: int


class Lessons:
    """`fits` is what is known of each deployment, filled while `work` runs; `see` costs next to nothing.

    Belongs to one event loop. Postgres away: the estimates stay as they are, the shipped guess at first, and what is
    seen meanwhile is told later.
    """

    def __init__(self, database: Database) -> None:
        self.fits: dict[str, Fit] = {}
        self._database = database
        self._waiting: list[Seen] = []
        self._untold: dict[tuple[str, str], list[float]] = {}
        self._sums: dict[str, dict[str, Sequence[float]]] = {}
        self._changed: set[str] = set()
        self._since: dt.datetime | None = None
        self._is_away = False

    def see(self, deployment: str, guess: InputEstimate, tokens: int) -> None:
        """A provider has reported its input tokens for a prompt as it was handed in."""
        measure = guess.measure
        if len(self._waiting) < MOST_IN_A_ROUND and measure is not None and measure.is_text:
            self._waiting.append(Seen(deployment, guess, tokens))

    async def work(self) -> None:
        """A round every few seconds, for ever."""
        clock = asyncio.get_running_loop().time
        forgotten_s = float("-inf")
        while True:
            await _whole(self.round())
            if clock() - forgotten_s > FORGET_S and await _whole(self._forget()):
                forgotten_s = clock()
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Tell, hear, and work out anew what has changed. Never raises for Postgres."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await asyncio.to_thread(self._fold, waiting)
        try:
            async with self._database.statement() as connection:
                if self._untold:
                    told = [store.Lesson(*key, sums) for key, sums in sorted(self._untold.items())]
                    await store.learn(connection, told)
                    self._untold.clear()
                heard, newest = await store.read(connection, self._since)
        except StoreUnavailable as error:
            if not self._is_away:
                log.warning("lessons: %s; token estimates stay as they are", error)
            self._is_away = True
            return
        self._is_away = False
        if newest is not None:
            self._since = newest - OVERLAP
        for lesson in heard:
            self._sums.setdefault(lesson.deployment, {})[lesson.kind] = lesson.sums
            self._changed.add(lesson.deployment)
        await self._fit()

    async def _forget(self) -> bool:
        try:
            async with self._database.statement() as connection:
                await store.forget(connection, FORGET_DAYS)
        except StoreUnavailable:
            return False
        return True

    async def _fit(self) -> None:
        due = [name for name in sorted(self._changed) if self._has_grown(name)]
        self._changed = set(due[MOST_FITS:])
        for name in due[:MOST_FITS]:
            # In a thread, and one at a time: the loop has calls to make meanwhile.
            self.fits[name] = await asyncio.to_thread(fit, self._sums[name])

    def _has_grown(self, name: str) -> bool:
        known = self.fits.get(name)
        seen = sum(sums[SEEN] for sums in self._sums[name].values())
        return known is None or abs(seen - known.seen) > GROWTH * known.seen

    def _fold(self, waiting: Sequence[Seen]) -> None:
        for deployment, guess, tokens in waiting:
            measure = guess.measure
            assert measure is not None
            if not is_plausible(tokens, guess.bound_tokens):
                continue
            key = (deployment, measure.kind)
            if key not in self._untold and len(self._untold) >= MOST_UNTOLD:
                continue
            expected, spread = self.fits.get(deployment, NOTHING_LEARNT).expected(guess)
            seen = Observation(measure.counts, tokens, expected, spread)
            add(self._untold.setdefault(key, nothing()), seen)


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Wait for it; when cancelled, let it come to its end first: a connection that is cut in its work is left open."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([task], timeout=GRACE_S)
        finally:
            task.cancel()
        raise
