"""Release: in turn by tenants, urgent first inside each, from a fresh look only; deferred jobs apart until due."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from jobs.lanes import Lane
from jobs.store import release
from jobs.store.release import MOST_TENANTS, LaneView, Turn
from jobs.store.rows import Move
from jobs.store.session import Connection, Database
from routing.fairness import share_out
from tests.jobs.store import given
from tests.jobs.store.shared import database_url, module_database_url  # noqa: F401 -- fixtures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 10**6


async def view_of(connection: Connection, lane: Lane = Lane.STANDARD, least_stock: int = MANY) -> LaneView:
    return next(view for view in (await release.look(connection, least_stock)).lanes if view.lane is lane)


def turn(view: LaneView, most: int) -> Turn:
    return Turn(view=view, shares=share_out(most, view.queues), stock=most)


async def tenants(database: Database, *weights: int) -> list[uuid.UUID]:
    found = [await given.tenant(database, f"tenant-{nth}") for nth in range(len(weights))]
    async with database.statement() as connection:
        for tenant_id, weight in zip(found, weights, strict=True):
            await connection.execute(
                text("update tenants set weight = :weight where id = :id"), {"weight": weight, "id": tenant_id}
            )
    return found


async def jobs_of(database: Database, tenant_id: uuid.UUID, count: int) -> list[uuid.UUID]:
    return [await given.job(database, tenant_id, urgent_at=NOW + timedelta(hours=n)) for n in range(count)]


async def test_the_most_urgent_of_a_tenant_are_released_first(database: Database):
    tenant_id = await given.tenant(database)
    hours = [timedelta(hours=n) for n in (3, 1, 2)]
    third, first, second = [await given.job(database, tenant_id, urgent_at=NOW + hour) for hour in hours]
    await given.job(database, tenant_id, lane=Lane.BULK, urgent_at=NOW)
    async with database.statement() as connection:
        assert await given.release(connection, Lane.STANDARD, 2) == [first, second]
        assert (await view_of(connection)).depth == 2
        assert await given.release(connection, Lane.STANDARD, 2) == [third]


async def test_tenants_take_turns_by_their_weights_and_their_jobs_alternate(database: Database):
    heavy, light = await tenants(database, 3, 1)
    of = dict.fromkeys(await jobs_of(database, heavy, 30), heavy) | dict.fromkeys(
        await jobs_of(database, light, 30), light
    )
    released = []
    async with database.statement() as connection:
        for most in (1, 2, 5, 4, 8):
            released += [of[job_id] for job_id in await given.release(connection, Lane.STANDARD, most)]
    assert Counter(released) == {heavy: 15, light: 5}
    assert all(1 <= released[at : at + 8].count(light) <= 3 for at in range(12))


async def test_a_newcomer_does_not_wait_behind_a_pile(database: Database):
    big, small = await tenants(database, 1, 1)
    await jobs_of(database, big, 60)
    wanted = set(await jobs_of(database, small, 3))
    async with database.statement() as connection:
        assert wanted <= set(await given.release(connection, Lane.STANDARD, 8))


async def test_a_release_from_a_stale_look_does_nothing(database: Database):
    tenant_id = await given.tenant(database)
    await jobs_of(database, tenant_id, 8)
    async with database.statement() as connection:
        stale = turn(await view_of(connection), 4)
        assert len(await given.release(connection, Lane.STANDARD, 2)) == 2
        assert await release.release(connection, [stale]) == {}
        assert (await view_of(connection)).depth == 2


async def test_two_dispatchers_do_not_fill_one_lane_twice_and_neither_waits_for_the_other(database: Database):
    tenant_id = await given.tenant(database)
    await jobs_of(database, tenant_id, 4)
    bulk_id = await given.job(database, tenant_id, lane=Lane.BULK)
    async with database.transaction() as mine, database.statement() as other:
        mine_turn, others_turn = turn(await view_of(mine), 1), turn(await view_of(other), 4)
        assert len((await release.release(mine, [mine_turn]))[Lane.STANDARD]) == 1
        await other.execute(text("set lock_timeout = '1s'"))
        bulk = turn(await view_of(other, Lane.BULK), 4)
        assert await release.release(other, [others_turn, bulk]) == {Lane.BULK: [bulk_id]}


async def test_a_lane_that_is_more_than_half_full_is_not_looked_into(database: Database):
    await jobs_of(database, await given.tenant(database), 9)
    async with database.statement() as connection:
        await given.release(connection, Lane.STANDARD, 5)
        assert [bool((await view_of(connection, least_stock=least)).queues) for least in (9, 10)] == [False, True]


async def test_a_deferred_job_is_apart_until_it_is_due_and_says_when(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    token = await given.claimed(database, job_id)
    await given.settle(database, Move.defer(job_id, token, 600.0, None))
    async with database.statement() as connection:
        assert await given.release(connection, Lane.STANDARD, 5) == []
        assert (await release.look(connection, MANY)).wake_in_s == pytest.approx(600, abs=60)
        assert await release.wake(connection) == []
        await connection.execute(text("update jobs set run_at = now()"))
        assert await release.wake(connection) == [job_id]
        assert (await release.look(connection, MANY)).wake_in_s is None
        assert await given.release(connection, Lane.STANDARD, 5) == [job_id]


async def test_a_job_given_back_without_a_delay_is_due_at_once(database: Database):
    job_id = await given.job(database, await given.tenant(database))
    token = await given.claimed(database, job_id)
    await given.settle(database, Move.defer(job_id, token, 0.0, None))
    async with database.statement() as connection:
        assert await given.release(connection, Lane.STANDARD, 5) == [job_id]


async def test_more_tenants_than_one_look_sees_all_get_their_turn(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(release, "MOST_TENANTS", 3)
    assert MOST_TENANTS > 3
    found = await tenants(database, *[1] * 8)
    of = {(await jobs_of(database, tenant_id, 2))[0]: tenant_id for tenant_id in found}
    served: list[uuid.UUID] = []
    async with database.statement() as connection:
        for _ in range(3):
            view = await view_of(connection)
            assert not view.is_all
            shares = share_out(100, view.queues, most_rounds=1)
            released = await release.release(connection, [Turn(view=view, shares=shares, stock=100)])
            served += [of[job_id] for job_id in released[Lane.STANDARD] if job_id in of]
    assert Counter(served) == Counter(found)


def test_a_release_reads_as_many_rows_as_it_releases_whatever_waits(module_database_url: str):  # noqa: F811
    """By the plan's own counts: neither a tenant's pile nor deferred rows at its head are read."""
    crowd = "insert into tenants (id, name) select gen_random_uuid(), 'crowd-' || n from generate_series(1, 20) n"
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute(crowd)
        connection.execute(
            """
            insert into jobs (id, tenant_id, lane, policy, model, deadline_at, urgent_at, run_at, deferred)
            select gen_random_uuid(), t.id, 'bulk', 'auto', 'auto', now() + interval '1 d', now() + n * interval '1 s',
                now() + case when n <= 200 then interval '1 h' else interval '0' end, n <= 200
            from tenants t, generate_series(1, 400) n where t.name like 'crowd-%'
            """
        )
        connection.execute("vacuum analyze jobs")
        names = {"most_tenants": MOST_TENANTS, "most_counted": 16, "least_stock": 1000}
        look = release.LOOK.text
        for name in names:
            look = look.replace(f":{name}", f"%({name})s")
        found = connection.execute("explain (analyze, format json) " + look, names).fetchone()
        assert found is not None
        (plan,) = found
        assert scanned(plan[0]["Plan"]) <= 21 * 20  # a leap for each tenant, and one that finds the ring closed


def scanned(node: dict[str, object]) -> float:
    """Rows that the scans of `jobs` have read or filtered away, over all their loops."""
    here = 0.0
    if node.get("Relation Name") == "jobs":
        rows = float(str(node.get("Actual Rows", 0))) + float(str(node.get("Rows Removed by Filter", 0)))
        here = rows * float(str(node.get("Actual Loops", 1)))
    below = node.get("Plans", [])
    assert isinstance(below, list)
    return here + sum(scanned(child) for child in below)
