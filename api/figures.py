"""Reads the fleet's figures from the record and from Redis, at most every five seconds, for whoever scrapes."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

import msgspec

from jobs.health import Health, HealthReader
from jobs.settings import Provider
from jobs.store import budgets, deliveries, fleet, reads, totals
from jobs.store.deliveries import Backlog
from jobs.store.session import Database, StoreUnavailable
from jobs.store.totals import Total

log = logging.getLogger(__name__)
REMEMBER_S = 5.0
"""Scrapes of several Prometheus servers, and `tokenyard status`, share what was read."""
READ_TIMEOUT_S = 4.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The record at one moment; None where Postgres did not answer."""

    open_jobs: list[reads.OpenJobs]
    totals: tuple[Total, ...]
    lag_s: float
    workers: Mapping[str, int]
    budgets: Mapping[str, int]
    webhooks: Backlog


class Figures:
    """Reads the fleet's figures for whoever scrapes; those who come together share one reading."""

    def __init__(self, database: Database, health: HealthReader, providers: Mapping[str, Provider]) -> None:
        self._database = database
        self._health = health
        self._providers = providers
        self._turn = asyncio.Lock()
        self._read_at_s = float("-inf")
        self._read_last: tuple[Snapshot | None, Health]

    async def read(self) -> tuple[Snapshot | None, Health]:
        """At most five seconds old; None while Postgres is away, and Health says itself whether Redis is."""
        async with self._turn:
            if time.monotonic() - self._read_at_s >= REMEMBER_S:
                record, health = await asyncio.gather(self._read(), self._health.read(self._providers))
                self._read_last, self._read_at_s = (record, health), time.monotonic()
            return self._read_last

    async def _read(self) -> Snapshot | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._database.statement() as connection:
                return Snapshot(
                    open_jobs=await reads.open_by_lane(connection),
                    totals=tuple(await totals.totals(connection)),
                    lag_s=await totals.lag_s(connection),
                    workers=_by_lane(await fleet.live(connection)),
                    webhooks=await deliveries.backlog(connection),
                    budgets=await budgets.count_by_state(connection),
                )
        except (StoreUnavailable, TimeoutError):
            return None
        except Exception:  # a border: a database that is not migrated yet must not turn a scrape into a 500
            log.exception("the fleet's figures could not be read")
            return None


def _by_lane(workers: Iterable[fleet.LiveWorker]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for worker in workers:
        for lane in worker.lanes:
            counts[lane] = counts.get(lane, 0) + 1
    return counts
