"""Keeps a tenant's queue within its bound: `max_queued_jobs`, counted now and then, not at every submit."""

import time
import uuid

import msgspec

from api.problems import Code, Problem
from jobs.store.accounts import Key
from jobs.store.reads import count_queued
from jobs.store.session import Database

RECOUNT_S = 5.0
SHARE = 20
"""A count that takes long is repeated more seldom: it may use one part in so many of the time."""


class _Count(msgspec.Struct):
    queued: int
    added: int
    until: float


class Quota:
    """Refuses what would not fit. Several API processes may pass the bound together by a few seconds' submits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[uuid.UUID, _Count] = {}

    async def take(self, key: Key, jobs: int) -> None:
        """Make room for that many jobs. Raises Problem (429) when the tenant's queue is full, StoreUnavailable."""
        count = self._counts.get(key.tenant_id)
        if count is None or count.until < time.monotonic():
            count = self._counts[key.tenant_id] = await self._recount(key.tenant_id)
        if count.queued + count.added + jobs > key.max_queued_jobs:
            waiting = count.queued + count.added
            message = f"{waiting:,} jobs wait and {key.max_queued_jobs:,} may; send this again when some have ended"
            raise Problem(Code.QUEUE_FULL, message)
        count.added += jobs

    async def _recount(self, tenant_id: uuid.UUID) -> _Count:
        began = time.monotonic()
        async with self._database.statement() as connection:
            queued = await count_queued(connection, tenant_id)
        now = time.monotonic()
        return _Count(queued, 0, now + max(RECOUNT_S, SHARE * (now - began)))
