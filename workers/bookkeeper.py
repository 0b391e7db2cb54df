"""Adds the ledger up for the metrics, in the dispatcher's process: `jobs.store.totals` says how."""

import asyncio
import logging

from jobs.store import totals
from jobs.store.session import Database, StoreUnavailable

log = logging.getLogger(__name__)
FOLD_EVERY_S = 5.0
CATCH_UP_S = 0.05
"""Between the slices of a long ledger that was never added up: the database has other work."""


class Bookkeeper:
    """Folds until stopped. Any number may run; one at a time folds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stopped: asyncio.Event) -> None:
        """Fold every few seconds; a Postgres that is away is waited for."""
        while not stopped.is_set():
            pause_s = FOLD_EVERY_S
            try:
                async with self._database.transaction() as connection:
                    if await totals.fold(connection):
                        pause_s = CATCH_UP_S
            except StoreUnavailable:
                log.warning("Postgres is away; the ledger's sums wait")
            except Exception:  # a border: metrics must not end the dispatcher
                log.exception("the ledger could not be added up")
            try:
                async with asyncio.timeout(pause_s):
                    await stopped.wait()
            except TimeoutError:
                continue
