"""Partitions are there before they are needed, and old prompts go while the ledger stays."""

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.store import partitions
from jobs.store.session import Database, StoreUnavailable
from tests.jobs.store import given

FAR = dt.date(2031, 12, 30)


def id_of(day: dt.date, hour: int = 12) -> uuid.UUID:
    return ids.floor_uuid(dt.datetime(day.year, day.month, day.day, hour, tzinfo=dt.UTC))


async def store(database: Database, payload_id: uuid.UUID) -> str:
    """Put a payload in; returns the partition it fell into."""
    async with database.statement() as connection:
        found = await connection.execute(
            text("insert into payloads (id, body) values (:id, 'x') returning tableoid::regclass::text"),
            {"id": payload_id},
        )
        name: str = found.scalar_one()
        return name


@pytest.mark.parametrize("today", [dt.date(2026, 1, 1), dt.date(2027, 12, 31), dt.date(2028, 2, 29)])
def test_spans_follow_each_other_without_gap_or_overlap_from_yesterday_on(today: dt.date):
    days = [span for span in partitions.spans(today) if span[0] == "payloads"]
    months = [span for span in partitions.spans(today) if span[0] == "attempts"]
    for spans in (days, months):
        assert all(before[3] == after[2] for before, after in pairwise(spans))
        assert spans[0][2] < today < spans[-1][3]
        assert len({span[1] for span in spans}) == len(spans)
    assert len(days) == partitions.DAYS_AHEAD + 1
    assert all(first.day == 1 for _, _, first, _ in months)
    assert len(months) == partitions.MONTHS_AHEAD + 1


async def test_partitions_are_made_once_and_take_their_day_with_both_its_ends(database: Database):
    async with database.transaction() as connection:
        made = await partitions.make_ahead(connection, FAR)
        assert made == partitions.DAYS_AHEAD + partitions.MONTHS_AHEAD + 2
        assert await partitions.make_ahead(connection, FAR) == 0
    first = id_of(FAR, 0)
    assert await store(database, first) == "payloads_20311230"
    assert await store(database, uuid.UUID(int=first.int - 1)) == "payloads_20311229"


async def test_an_id_of_no_span_falls_into_the_default(database: Database):
    assert await store(database, uuid.UUID(int=5)) == "payloads_default"
    assert await store(database, uuid.UUID(int=(1 << 128) - 1)) == "payloads_default"


async def test_a_day_that_began_in_the_default_stays_there_and_the_others_are_made(database: Database):
    assert await store(database, id_of(FAR)) == "payloads_default"
    async with database.transaction() as connection:
        made = await partitions.make_ahead(connection, FAR)
    assert made == partitions.DAYS_AHEAD + partitions.MONTHS_AHEAD + 1
    assert await store(database, id_of(FAR, 13)) == "payloads_default"
    assert await store(database, id_of(FAR + dt.timedelta(days=1))) == "payloads_20311231"


async def test_two_dispatchers_that_begin_together_do_not_collide(database: Database):
    async def make() -> int:
        async with database.transaction() as connection:
            return await partitions.make_ahead(connection, FAR)

    made = await asyncio.gather(make(), make(), make())
    assert sorted(made) == [0, 0, partitions.DAYS_AHEAD + partitions.MONTHS_AHEAD + 2]


async def test_prompts_past_their_retention_are_dropped_and_their_jobs_marked(database: Database):
    tenant_id = await given.tenant(database)
    old_day, today = FAR - dt.timedelta(days=1), FAR
    old = await given.job(database, tenant_id, id=id_of(dt.date(2025, 1, 1)))
    young = await given.job(database, tenant_id, id=id_of(FAR))
    async with database.transaction() as connection:
        await connection.execute(text("update jobs set state = 'cancelled', finished_at = now()"))
        await connection.execute(text("delete from payloads"))
        await partitions.make_ahead(connection, FAR)
        dropped = await partitions.drop_payloads_before(connection, today)
        assert f"payloads_{old_day:%Y%m%d}" in dropped
        assert f"payloads_{today:%Y%m%d}" not in dropped
        rows = await connection.execute(text("select id, purged_at is not null as purged from jobs"))
        assert {row.id: row.purged for row in rows} == {old: True, young: False}
        assert await partitions.drop_payloads_before(connection, today) == []


async def test_old_prompts_in_the_default_are_dropped_too(database: Database):
    old, young = id_of(dt.date(2020, 1, 1)), id_of(FAR)
    for payload_id in (old, young):
        assert await store(database, payload_id) == "payloads_default"
    async with database.transaction() as connection:
        await partitions.drop_payloads_before(connection, dt.date(2020, 1, 2))
        assert list((await connection.execute(text("select id from payloads"))).scalars()) == [young]


async def test_the_prompt_of_a_job_that_still_waits_outlives_its_retention(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        await partitions.make_ahead(connection, FAR)
    waiting = await given.job(database, tenant_id, id=id_of(FAR))
    async with database.transaction() as connection:
        dropped = await partitions.drop_payloads_before(connection, FAR + dt.timedelta(days=5))
        assert "payloads_20311229" in dropped
        assert "payloads_20311230" not in dropped
        assert list((await connection.execute(text("select id from payloads"))).scalars()) == [waiting]


async def test_a_job_whose_prompt_went_from_the_default_is_marked_though_no_day_was_dropped(database: Database):
    tenant_id = await given.tenant(database)
    old = await given.job(database, tenant_id, id=id_of(dt.date(2020, 1, 1)))
    young = await given.job(database, tenant_id, id=id_of(FAR))
    async with database.transaction() as connection:
        await connection.execute(text("update jobs set state = 'cancelled', finished_at = now()"))
        assert await partitions.drop_payloads_before(connection, dt.date(2020, 1, 2)) == []
        rows = await connection.execute(text("select id, purged_at is not null as purged from jobs"))
        assert {row.id: row.purged for row in rows} == {old: True, young: False}


@pytest.mark.parametrize("step", [partitions.make_ahead, partitions.drop_payloads_before])
async def test_a_reader_in_the_way_stops_the_work_on_partitions_soon_and_nothing_is_half_done(
    database: Database, step: Callable[[AsyncConnection, dt.date], Awaitable[object]]
):
    assert await store(database, id_of(dt.date(2020, 1, 1))) == "payloads_default"
    async with database.transaction() as reader:
        await reader.execute(text("select count(*) from payloads"))
        # Far below the connection's own lock time-out of 10 s, which would hold up every submit behind it.
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                async with database.transaction() as connection:
                    await step(connection, FAR)
    async with database.statement() as connection:
        assert (await connection.execute(text("select count(*) from payloads"))).scalar_one() == 1
        made = text("select count(*) from pg_class where relname like 'payloads_2031%' and relkind = 'r'")
        assert (await connection.execute(made)).scalar_one() == 0
