"""The bookkeeper folds until it is stopped, and an absent Postgres does not end it."""

import asyncio

import pytest

from jobs.store import totals
from jobs.store.session import Database
from tests.faults.harness import until
from tests.jobs.store import given
from workers import bookkeeper
from workers.bookkeeper import Bookkeeper


async def test_it_adds_up_what_comes_until_it_is_stopped(database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(totals, "LAG_S", -5)
    monkeypatch.setattr(totals, "SLICE", 1)
    monkeypatch.setattr(bookkeeper, "FOLD_EVERY_S", 0.02)
    database, stopped = Database(database_url), asyncio.Event()
    running = asyncio.create_task(Bookkeeper(database).run(stopped))

    async def counted() -> int:
        async with database.statement() as connection:
            return sum(total.attempts for total in await totals.totals(connection))

    tenant_id = await given.tenant(database)
    for expected in (1, 2):
        await given.succeeded(database, await given.job(database, tenant_id))

        async def is_counted(expected: int = expected) -> bool:
            return await counted() == expected

        await until(is_counted, "the ledger is added up", 10)
    stopped.set()
    await asyncio.wait_for(running, 10)
    await database.close()


async def test_it_outlives_an_absent_postgres(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(bookkeeper, "FOLD_EVERY_S", 0.01)
    database, stopped = Database("postgresql://nobody@127.0.0.1:1/none"), asyncio.Event()
    running = asyncio.create_task(Bookkeeper(database).run(stopped))
    await until(lambda: caplog.text.count("Postgres is away") >= 2, "it tries again", 10)
    assert not running.done()
    stopped.set()
    await asyncio.wait_for(running, 10)
    await database.close()
