"""The dispatcher releases by urgency, never twice, and rings what it releases."""

import asyncio
import contextlib
import datetime as dt
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from sqlalchemy import text

from cli.embedded import Redis
from jobs.lanes import Lane
from jobs.settings import Dispatcher as Pace
from jobs.settings import Settings, Worker
from jobs.signals import SUBMITTED, Signals
from jobs.store.release import LaneView
from jobs.store.session import Database
from jobs.store.submit import insert
from routing.fairness import Queue
from tests.faults.harness import until
from tests.faults.harness_load import job_ids_in
from tests.jobs.store import given
from workers.dispatcher import Dispatcher, bell_size, decide


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis whose lanes nobody else rings."""
    server = Redis(tmp_path_factory.mktemp("redis"), from_wheel=True)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def settings(database_url: str, own_redis: str) -> Settings:
    with redis.Redis.from_url(own_redis) as client:
        client.flushall()
    return Settings(
        database_url=database_url,
        redis_url=own_redis,
        worker=Worker(slots=32),
        dispatcher=Pace(tick_ms=20, depth=64, sweep_s=0.1),
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=2)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(settings)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        async with asyncio.timeout(10):
            await task


async def submitted(database: Database, count: int, lane: Lane = Lane.STANDARD) -> list[uuid.UUID]:
    """Jobs in one lane, the last of them the most urgent."""
    tenant_id = await given.tenant(database)
    now = dt.datetime.now(dt.UTC)
    jobs = [
        given.submission(tenant_id, lane=lane, urgent_at=now - dt.timedelta(seconds=place)) for place in range(count)
    ]
    async with database.transaction() as connection:
        await insert(connection, jobs)
    return [job.id for job in jobs]


async def released(database: Database, count: int) -> set[uuid.UUID]:
    """The released jobs, once there are so many."""
    async with asyncio.timeout(15), database.statement() as connection:
        while True:
            found = set((await connection.execute(text("select id from jobs where released_at is not null"))).scalars())
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def bells(url: str, lane: Lane, count: int) -> list[list[uuid.UUID]]:
    """The bells in a lane, once they name so many jobs."""

    def look() -> Sequence[bytes]:
        with redis.Redis.from_url(url) as client:
            found: Sequence[bytes] = client.lrange(lane.value, 0, -1)
            return found

    async with asyncio.timeout(15):
        while True:
            rung = [job_ids_in(message) for message in await asyncio.to_thread(look)]
            if sum(map(len, rung)) >= count:
                return rung
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("count", "asked", "slots", "most", "size"),
    [
        (1024, 1024, 32, 32, 32),  # others wait behind them
        (8, 8, 32, 32, 32),
        (1, 1024, 32, 32, 1),
        (32, 1024, 32, 32, 1),  # one each
        (33, 1024, 32, 32, 2),
        (1000, 1024, 4, 32, 32),  # never more than the lane's most
        (5, 1024, 0, 32, 5),
    ],
)
def test_a_bell_is_full_under_a_backlog_and_else_shares_among_the_slots(
    count: int, asked: int, slots: int, most: int, size: int
):
    assert bell_size(count, asked, slots, most) == size


def view(**changes: Any) -> LaneView:
    """A lane with a pile of two tenants, looked at a while after its stock of 64 was filled."""
    queues = tuple(Queue(uuid.UUID(int=n), 1, 10_000) for n in (1, 2))
    plain = LaneView(
        lane=Lane.BULK, turn=1, depth=30, queues=queues, is_all=True, stock=64, left_then=64, elapsed_s=0.1
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize(
    ("changes", "stock"),
    [
        ({}, 158),  # 34 claimed in 0.1 s: half a second of that is 170, in whole bells 30 + 4 * 32
        ({"depth": 0}, 128),  # who ran dry gets twice as much, whatever the pace
        ({"depth": 0, "left_then": 3}, 64),  # three were all that waited: nobody ran dry
        ({"depth": 0, "stock": 0, "left_then": 0}, 64),  # the first release
        ({"depth": 0, "stock": 900, "left_then": 900}, 992),  # never more than the most, 1000
        ({"depth": 40, "stock": 64, "elapsed_s": 3600.0}, 64),  # never less than the least
    ],
)
def test_a_lane_is_filled_for_half_a_second_of_its_workers_pace(changes: dict[str, Any], stock: int):
    turn = decide(view(**changes), 64, 1000)
    assert turn is not None
    assert turn.stock == stock
    assert sum(turn.shares.takes.values()) == stock - turn.view.depth


def test_nothing_is_decided_for_a_lane_that_is_full_or_in_which_nobody_waits():
    assert decide(view(depth=64, elapsed_s=60.0), 64, 1000) is None
    assert decide(view(queues=()), 64, 1000) is None


def test_a_part_of_the_tenants_gets_one_round_only():
    turn = decide(view(is_all=False), 64, 1000)
    assert turn is not None
    assert set(turn.shares.takes.values()) == {1}


async def test_it_releases_the_most_urgent_first_and_no_deeper_than_the_lanes_depth(
    settings: Settings, database: Database
):
    ids = await submitted(database, 100)
    async with running(settings):
        await bells(settings.redis_url, Lane.STANDARD, 64)
        assert await released(database, 64) == set(ids[-64:])


async def test_it_rings_each_job_that_it_releases(settings: Settings, database: Database):
    ids = await submitted(database, 6, Lane.BULK)
    async with running(msgspec.structs.replace(settings, worker=Worker(slots=4))):
        rung = await bells(settings.redis_url, Lane.BULK, 6)
    assert sorted(job for bell in rung for job in bell) == sorted(ids)
    assert {len(bell) for bell in rung} == {2}  # 6 jobs on 4 slots


@contextlib.asynccontextmanager
async def claiming(database: Database) -> AsyncIterator[None]:
    """Somebody who takes all that is released."""
    claim = text(
        "update jobs set state = 'running', token = gen_random_uuid(), lease_until = now() + interval '1 h'"
        " where state = 'queued' and released_at is not null"
    )

    async def work() -> None:
        async with database.statement() as connection:
            while True:
                await connection.execute(claim)
                await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_two_dispatchers_release_and_ring_no_job_twice(settings: Settings, database: Database):
    quick = msgspec.structs.replace(
        settings, worker=Worker(slots=4), dispatcher=Pace(tick_ms=5, sweep_s=0.1, reissue_s=600)
    )
    async with claiming(database), running(quick), running(quick):
        ids = [job for _ in range(4) for job in await submitted(database, 50)]
        rung = await bells(settings.redis_url, Lane.STANDARD, 200)
    assert Counter(job for bell in rung for job in bell) == Counter(ids)


async def test_a_nudge_releases_at_once(settings: Settings, database: Database):
    slow = msgspec.structs.replace(settings, dispatcher=Pace(tick_ms=600_000, sweep_s=0.1))
    signals = Signals(settings.redis_url)
    await submitted(database, 1)
    async with running(slow):
        first = await released(database, 1)  # its first turn is over; the next tick is minutes away
        await submitted(database, 1)

        async def is_heard() -> bool:
            # A nudge is a hint: one that comes before the dispatcher hears is lost, so it is said till it is heard.
            await signals.tell(SUBMITTED)
            return await released(database, 1) != first

        await until(is_heard, "the nudge is heard", 10)
    await signals.close()


async def test_without_redis_it_still_releases_so_that_the_workers_poll_finds_the_rows(
    settings: Settings, database: Database, tmp_path: Path
):
    alone = msgspec.structs.replace(settings, redis_url=f"unix://{tmp_path}/none.sock")
    async with running(alone):
        first = await submitted(database, 5)
        assert await released(database, 5) == set(first)
        await submitted(database, 5, Lane.BULK)
        assert len(await released(database, 10)) == 10
