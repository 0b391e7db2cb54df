"""Watches the outbox in the dispatcher's process: tells of finished batches, and rings when deliveries are due.

Everything here is a hint or done once by its statement, so any number may run. Without Redis the webhook workers poll.
"""

import asyncio
import datetime as dt
import logging
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor

from kombu.exceptions import OperationalError

from jobs.broker import Bells
from jobs.lanes import WEBHOOKS
from jobs.settings import Settings
from jobs.store import deliveries, outbox
from jobs.store.session import Database
from routing.webhooks import QUIET_AFTER
from workers.rounds import rounds

log = logging.getLogger(__name__)
TICK_S = 0.25
BATCHES_S = 1.0
RING_S = 1.0
"""A Redis that hangs must not hold up the batches."""
MOST_BELLS = 4
"""Unanswered bells, after which no more are rung: each worker looks for all that is due."""
HOUSEKEEPING_S = 3600.0


class Outbox:
    """One process's watch; `run` until stopped."""

    def __init__(self, settings: Settings, bells: Bells) -> None:
        self._settings = settings.webhooks
        self._database = Database(settings.database_url, pool_size=1)
        self._bells = bells
        self._ringer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ring-webhooks")
        self._ringing: Future[None] = Future()
        self._ringing.set_result(None)
        self._share = deliveries.Share(
            most=1, most_each=settings.webhooks.concurrency_per_endpoint, quiet_after=QUIET_AFTER
        )
        self._after: uuid.UUID | None = None
        self._batches_from_s = self._keep_house_from_s = self._ring_from_s = 0.0

    async def run(self, stopped: asyncio.Event) -> None:
        """Watch until stopped; a Postgres or Redis that is away is waited for."""
        await rounds(stopped, "outbox", lambda: self.look(time.monotonic()), TICK_S)
        await self.close()

    async def close(self) -> None:
        """Give thread and connection back."""
        self._ringer.shutdown(wait=False, cancel_futures=True)
        await self._database.close()

    async def look(self, now_s: float) -> None:
        """One look at `now_s` (monotonic seconds). Raises StoreUnavailable."""
        if now_s >= self._batches_from_s:
            self._batches_from_s = now_s + BATCHES_S
            await self._tell_of_batches()
        if now_s >= self._keep_house_from_s:
            self._keep_house_from_s = now_s + HOUSEKEEPING_S
            await self._forget()
        async with self._database.statement() as connection:
            due = await deliveries.is_due(connection, self._share)
        if due and now_s >= self._ring_from_s:
            await self._ring(now_s)

    async def _tell_of_batches(self) -> None:
        async with self._database.statement() as connection:
            untold = await outbox.look_at_batches(connection, self._after)
            self._after = untold.last
            for batch_id in untold.finished:
                await outbox.finish_batch(connection, batch_id)

    async def _forget(self) -> None:
        """Drop deliveries past their retention, some at a time."""
        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=self._settings.retention_days)
        async with self._database.statement() as connection:
            while await outbox.forget(connection, before):
                continue

    async def _ring(self, now_s: float) -> None:
        """Ring off the loop; a bell that can't be rung costs the workers' poll."""
        if not self._ringing.done():
            return
        self._ringing = self._ringer.submit(self._ring_once)
        try:
            async with asyncio.timeout(RING_S):
                await asyncio.shield(asyncio.wrap_future(self._ringing))
        except (TimeoutError, OperationalError, OSError) as error:
            self._ring_from_s = now_s + 1.0
            log.warning("outbox: no bell could be rung (%s); webhook workers poll", type(error).__name__)

    def _ring_once(self) -> None:
        if self._bells.depth(WEBHOOKS) < MOST_BELLS:
            self._bells.ring_webhooks()
