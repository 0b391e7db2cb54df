"""The sweeper: rescues expired leases, expires the late, rings lost bells again, and keeps partitions ahead."""

import asyncio
import datetime as dt
import logging
import time

from jobs import meters
from jobs.settings import Settings
from jobs.store import budget_alerts, files, fleet, partitions, sweep
from jobs.store.session import Database
from workers.rounds import rounds

log = logging.getLogger(__name__)
BLIND_S = 10.0
"""After so long without Postgres a sweeper rescues nothing for one lease: the workers could not beat either,
and calling again what is still running would bill it twice."""
GONE_S = 300.0
"""A worker that was not seen for so long leaves the registry; it counted as dead long before."""
HOUSEKEEPING_S = 3600.0
HOUSEKEEPING_AGAIN_S = 300.0


class Sweeper:
    """Sweeps every `dispatcher.sweep_s` seconds; part of the dispatcher's process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._saw_at_s = time.monotonic()
        self._rescue_from_s = 0.0
        self._forget_from_s = float("-inf")
        self._keep_house_from_s = float("-inf")

    async def run(self, stopped: asyncio.Event) -> None:
        """Sweep until stopped."""
        await rounds(stopped, "sweeper", lambda: self.sweep(time.monotonic()), self._settings.dispatcher.sweep_s)

    async def sweep(self, now_s: float) -> None:
        """One sweep at `now_s` (monotonic seconds). Raises StoreUnavailable."""
        async with self._database.statement() as connection:
            meters.SWEPT.labels("expired").inc(len(await sweep.expire(connection)))
            if now_s - self._saw_at_s > BLIND_S:
                self._rescue_from_s = now_s + self._settings.worker.lease_s
                log.warning("sweeper: was blind for %.0f s; rescuing waits one lease", now_s - self._saw_at_s)
            self._saw_at_s = now_s
            if now_s >= self._rescue_from_s:
                rescued = await sweep.rescue(connection, self._settings.worker.max_deaths)
                meters.SWEPT.labels("rescued").inc(len(rescued))
                if rescued:
                    log.warning("sweeper: rescued %d jobs of dead or frozen workers", len(rescued))
            reissued = await sweep.reissue(connection, self._settings.dispatcher.reissue_s)
            meters.SWEPT.labels("reissued").inc(len(reissued))
            if reissued:
                log.info("sweeper: released %d jobs again whose bells nobody answered", len(reissued))
            if now_s >= self._forget_from_s:
                self._forget_from_s = now_s + GONE_S / 5
                for name in await fleet.forget_dead(connection, GONE_S):
                    log.warning("sweeper: worker %s has not been seen for %.0f s", name, GONE_S)
        await self._watch_budgets()
        if now_s >= self._keep_house_from_s:
            # Set first: if it fails it is tried again in minutes, not at every sweep.
            self._keep_house_from_s = now_s + HOUSEKEEPING_AGAIN_S
            await self._keep_house()
            self._keep_house_from_s = now_s + HOUSEKEEPING_S
            self._saw_at_s = time.monotonic()  # its own slowness is no blindness

    async def _watch_budgets(self) -> None:
        """Begin their new periods, wake what a raised cap lets go on, and tell what lines were crossed."""
        async with self._database.transaction() as connection:
            alerts = await budget_alerts.look(connection)
        for alert in alerts:
            log.warning("sweeper: %s of budget %s (%s %%)", alert.event, alert.budget_id, alert.percent)

    async def _keep_house(self) -> None:
        """Make tomorrow's partitions, drop prompts past their retention, forget old idempotency keys.

        Each step is a transaction of its own: the locks of one must not outlast it.
        """
        now = dt.datetime.now(dt.UTC)
        async with self._database.transaction() as connection:
            await partitions.make_ahead(connection, now.date())
        async with self._database.transaction() as connection:
            await sweep.forget_idempotency(connection)
        async with self._database.transaction() as connection:
            left_open = await sweep.close_left_open(connection, now)
        meters.SWEPT.labels("left_open").inc(len(left_open))
        if left_open:
            log.warning("sweeper: %d attempts were left open by jobs that moved on; now unknown", len(left_open))
        async with self._database.statement() as connection:
            while await files.forget_expired(connection):
                pass
        oldest = now.date() - dt.timedelta(days=self._settings.retention.days)
        async with self._database.transaction() as connection:
            for name in await partitions.drop_payloads_before(connection, oldest):
                log.info("sweeper: dropped %s, past its retention", name)
