"""The registry of workers: who beats lives, who is silent for three beats does not, and nobody is listed twice."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import text

from jobs.store import fleet
from jobs.store.beats import Beats
from jobs.store.session import Database
from tests.jobs.store import given


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def names(database: Database) -> list[str]:
    async with database.statement() as connection:
        return [worker.name for worker in await fleet.live(connection)]


async def silent_for(database: Database, seconds: float) -> None:
    async with database.statement() as connection:
        await connection.execute(
            text("update workers set seen_at = seen_at - make_interval(secs => :s)"), {"s": seconds}
        )


async def test_a_worker_lives_while_it_beats_and_until_it_leaves(
    database: Database, database_url: str, opened: ExitStack
):
    first, second = (opened.enter_context(closing(Beats(database_url, given.presence(name)))) for name in ("a", "b"))
    assert [await asyncio.to_thread(beats.beat, {}, 30.0) for beats in (first, second, first)] == [
        ({}, 1),
        ({}, 2),
        ({}, 2),
    ]
    assert await names(database) == ["a", "b"]
    await asyncio.to_thread(second.leave)
    assert await names(database) == ["a"]


async def test_it_says_what_it_carries_and_how_its_loop_does(database: Database, database_url: str, opened: ExitStack):
    job_id = await given.job(database, await given.tenant(database))
    held = {job_id: await given.claimed(database, job_id)}
    presence = given.presence()
    beats = opened.enter_context(closing(Beats(database_url, presence)))
    await asyncio.to_thread(beats.beat, {}, 30.0)
    await asyncio.to_thread(beats.beat, held, 30.0, 2.5)
    async with database.statement() as connection:
        (worker,) = await fleet.live(connection)
    assert (worker.id, worker.lanes, worker.slots) == (presence.id, presence.lanes, presence.slots)
    assert (worker.jobs_in_hand, worker.loop_lag_s) == (1, 2.5)
    assert worker.seen_at > worker.started_at


async def test_who_misses_three_beats_is_dead_and_one_that_slept_comes_back(
    database: Database, database_url: str, opened: ExitStack
):
    quick, slow = (
        opened.enter_context(closing(Beats(database_url, given.presence(name, beat_s=beat_s))))
        for name, beat_s in (("quick", 1.0), ("slow", 100.0))
    )
    for beats in (quick, slow):
        await asyncio.to_thread(beats.beat, {}, 30.0)
    await silent_for(database, 4.0)
    assert await names(database) == ["slow"]
    assert (await asyncio.to_thread(slow.beat, {}, 30.0)).live_workers == 1
    async with database.statement() as connection:
        assert await fleet.forget_dead(connection, 3.0) == ["quick"]
        assert await fleet.forget_dead(connection, 3.0) == []
    assert (await asyncio.to_thread(quick.beat, {}, 30.0)).live_workers == 2
    assert await names(database) == ["quick", "slow"]
