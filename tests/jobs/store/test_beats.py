"""A beat renews exactly the leases whose token holds, and says which are gone."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from jobs.store import owner
from jobs.store.beats import Beats
from jobs.store.session import Database, StoreUnavailable
from tests.jobs.store import given


@pytest.fixture
def beats(database_url: str) -> Iterator[Beats]:
    opened = Beats(database_url, given.presence())
    yield opened
    opened.close()


async def left_s(database: Database, job_id: uuid.UUID) -> float:
    async with database.statement() as connection:
        query = text("select extract(epoch from lease_until - now())::float8 from jobs where id = :id")
        found: float = (await connection.execute(query, {"id": job_id})).scalar_one()
        return found


async def test_a_beat_renews_only_what_is_held_and_names_the_cancelled(database: Database, beats: Beats):
    tenant_id = await given.tenant(database)
    kept, flagged, lost = [await given.job(database, tenant_id) for _ in range(3)]
    held = {job_id: await given.claimed(database, job_id) for job_id in (kept, flagged, lost)}
    held[lost] = uuid.uuid4()
    async with database.statement() as connection:
        await owner.cancel_job(connection, tenant_id, flagged)
        await connection.execute(text("update jobs set lease_until = now() + interval '1 s'"))
    assert (await asyncio.to_thread(beats.beat, held, 300.0)).kept == {kept: False, flagged: True}
    assert await left_s(database, kept) > 200
    assert await left_s(database, lost) < 2


async def test_a_row_that_somebody_writes_holds_up_no_other_lease(database: Database, beats: Beats):
    tenant_id = await given.tenant(database)
    busy, free = await given.job(database, tenant_id), await given.job(database, tenant_id)
    held = {job_id: await given.claimed(database, job_id) for job_id in (busy, free)}
    async with database.transaction() as connection:
        await connection.execute(text("select 1 from jobs where id = :id for update"), {"id": busy})
        assert (await asyncio.to_thread(beats.beat, held, 300.0)).kept == {busy: False, free: False}
    assert await left_s(database, free) > 200
    assert await left_s(database, busy) < 31


def test_without_postgres_a_beat_says_so():
    absent = Beats("postgresql://nobody@/nowhere?host=/nonexistent", given.presence())
    with pytest.raises(StoreUnavailable):
        absent.beat({uuid.uuid4(): uuid.uuid4()}, 30.0)
    absent.close()
