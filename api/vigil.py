"""Waits for a job's end: woken by its signal, with a slow poll of the row behind it."""

import asyncio
import time
import uuid
from contextlib import suppress

from api.endings import Endings
from api.presence import Presence
from jobs.ending import Ending
from jobs.store.session import StoreUnavailable

SLOW_POLL_S = 2.0


class Vigil:
    """One job, watched. `wake` is what the watcher waits at: the job's end, its tokens, its own caller."""

    def __init__(self, endings: Endings, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
        self._endings = endings
        self._tenant_id = tenant_id
        self.job_id = job_id
        self.wake = asyncio.Event()
        self._has_ended = False
        self._told: Ending | None = None
        self._look_at_s = 0.0
        self._ends_at_s = float("inf")

    def hear(self, ending: Ending | None) -> None:
        """The job has (probably) ended, and this is how, if it was told along."""
        self._has_ended, self._told = True, ending
        self.wake.set()

    @property
    def is_over(self) -> bool:
        """The time to wait is up."""
        return time.monotonic() >= self._ends_at_s

    def begin(self, wait_s: float, *, look_now: bool) -> None:
        """Wait so long; `look_now`: the job may have ended already."""
        now_s = time.monotonic()
        self._ends_at_s = now_s + wait_s
        self._look_at_s = now_s if look_now else now_s + SLOW_POLL_S

    async def look(self) -> Ending | None:
        """The job, when there is a reason to look at it; None without one, or while Postgres is away."""
        now_s = time.monotonic()
        if not self._has_ended and now_s < self._look_at_s:
            return None
        self._has_ended = False
        self._look_at_s = now_s + SLOW_POLL_S
        found, self._told = self._told, None
        if found is None:
            with suppress(StoreUnavailable):  # the job is committed: it goes on, and so does the wait
                found = await self._endings.look(self._tenant_id, self.job_id)
        if found is not None and found.state.is_terminal:
            self._look_at_s = self._ends_at_s = float("inf")
        return found

    async def rest(self, most_s: float = SLOW_POLL_S) -> None:
        """Return when something happens, or it is time to look again, after `most_s` at the latest."""
        now_s = time.monotonic()
        wait_s = min(most_s, self._look_at_s - now_s, self._ends_at_s - now_s)
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.wake.wait()
        self.wake.clear()

    async def end(self, caller: Presence) -> Ending | None:
        """The job's end; None when the time is up before it, or the caller has gone."""
        while not caller.is_gone and not self.is_over:
            found = await self.look()
            if found is not None and found.state.is_terminal:
                return found
            await self.rest()
        return None
