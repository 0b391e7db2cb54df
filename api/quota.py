"""Keeps a tenant's queue within its bound: `max_queued_jobs`, counted now and then, not at every submit."""

import asyncio
import math
import time
import uuid

import msgspec

from api.problems import Code, Problem
from jobs.store.accounts import Key
from jobs.store.reads import count_queued
from jobs.store.session import Database, StoreUnavailable

RECOUNT_S = 5.0
SHARE = 100
"""A count that takes long is repeated more seldom: it may use one part in so many of the time."""
STALE_S = 60.0
"""A count so much older than it should be is not gone by; a younger one is, while a fresh one is being made."""


class _Count(msgspec.Struct):
    queued: int
    added: int
    """Taken since, by this process."""
    until_s: float


class Quota:
    """Refuses what would not fit.

    What it goes by is at most 5 s old (a hundred times as old as its count took: about 20 s at a million jobs) plus
    what this process has added since. So several API processes may pass the bound together by what the others
    accept in that time, and a queue that has just shrunk is refused for as long. No submit waits for a count, but
    the first of a tenant and one that would be refused by a count past its time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[uuid.UUID, _Count] = {}
        self._counting: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def take(self, key: Key, jobs: int) -> None:
        """Make room for that many jobs. Raises Problem (429) when the tenant's queue is full, StoreUnavailable."""
        count, now_s = self._counts.get(key.tenant_id), time.monotonic()
        if count is None or count.until_s < now_s:
            counting = self._recount(key.tenant_id)
            fits = count is not None and count.queued + count.added + jobs <= key.max_queued_jobs
            if count is None or not fits or count.until_s + STALE_S < now_s:
                await asyncio.shield(counting)
                count = self._counts[key.tenant_id]
        waiting = count.queued + count.added
        if waiting + jobs > key.max_queued_jobs:
            message = f"{waiting:,} jobs wait and {key.max_queued_jobs:,} may; send this again when some have ended"
            after_s = max(1, math.ceil(count.until_s - time.monotonic()))
            raise Problem(Code.QUEUE_FULL, message, headers={"retry-after": str(after_s)})
        count.added += jobs

    async def close(self) -> None:
        """Give up what is being counted: a count that outlives its database would leave a connection behind."""
        counting = list(self._counting.values())
        for task in counting:
            task.cancel()
        await asyncio.gather(*counting, return_exceptions=True)

    def _recount(self, tenant_id: uuid.UUID) -> "asyncio.Task[None]":
        """The count that is being made of a tenant's jobs, or a new one: never two at once."""
        counting = self._counting.get(tenant_id)
        if counting is None:
            counting = self._counting[tenant_id] = asyncio.create_task(self._count(tenant_id))
            counting.add_done_callback(lambda done: self._counted(tenant_id, done))
        return counting

    async def _count(self, tenant_id: uuid.UUID) -> None:
        before = self._counts.get(tenant_id)
        added_before = before.added if before else 0
        began_s = time.monotonic()
        async with self._database.statement() as connection:
            queued = await count_queued(connection, tenant_id)
        took_s = time.monotonic() - began_s
        # What was added meanwhile may be in the count already: better counted twice than not at all.
        added = before.added - added_before if before else 0
        self._counts[tenant_id] = _Count(queued, added, time.monotonic() + max(RECOUNT_S, SHARE * took_s))

    def _counted(self, tenant_id: uuid.UUID, counting: "asyncio.Task[None]") -> None:
        self._counting.pop(tenant_id, None)
        if not counting.cancelled() and isinstance(counting.exception(), StoreUnavailable):
            return  # whoever waits for it hears it; the next submit tries again
