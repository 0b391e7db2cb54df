"""Adds the ledger up for the metrics, in the dispatcher's process: `jobs.store.totals` says how."""

import asyncio

from jobs.store import totals
from jobs.store.session import Database
from workers.rounds import rounds

FOLD_EVERY_S = 5.0
CATCH_UP_S = 0.05
"""Between the slices of a long ledger that was never added up: the database has other work."""


class Bookkeeper:
    """Folds until stopped. Any number may run; one at a time folds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stopped: asyncio.Event) -> None:
        """Fold every few seconds."""
        await rounds(stopped, "bookkeeper", self._fold, FOLD_EVERY_S)

    async def _fold(self) -> float | None:
        """One slice; the pause after it, where more is left."""
        async with self._database.transaction() as connection:
            return CATCH_UP_S if await totals.fold(connection) else None
