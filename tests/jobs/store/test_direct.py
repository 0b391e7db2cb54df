"""The driver's own connections: the same statements, the same findings, the same errors as on SQLAlchemy's."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from jobs.store.direct import Direct, Line
from jobs.store.session import Database, StoreUnavailable
from tests.jobs.store.shared import database_url, module_database_url  # noqa: F401 -- fixtures

EVERYTHING = text("""
select cast(:id as uuid) as id, cast(:words as jsonb) -> 'a' as found, 1.50::numeric as usd, 7 % 4 as rest,
    cast(:ids as uuid[]) as ids, convert_to('body', 'UTF8') as body, null::text as nothing, now() as moment
""")
IDS = [UUID(int=1), UUID(int=2)]


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[Direct]:  # noqa: F811
    lines = Direct(database_url, connections=1)
    yield lines
    await lines.close()


async def pid(line: Line) -> int:
    return int(next(iter((await line.execute(text("select pg_backend_pid() as pid"), {})).scalars())))


async def test_a_statement_finds_the_same_on_both(database: Database, direct: Direct):
    names = {"id": IDS[0], "words": '{"a": [1, "%"]}', "ids": IDS}
    async with direct.statement() as line:
        (ours,) = (await line.execute(EVERYTHING, names)).all()
    async with database.statement() as connection:
        (theirs,) = (await connection.execute(EVERYTHING, names)).all()
    assert tuple(ours)[:-1] == tuple(theirs)[:-1]
    assert (ours.id, ours.found, ours.usd, ours.rest, bytes(ours.body)) == (
        IDS[0],
        [1, "%"],
        Decimal("1.50"),
        3,
        b"body",
    )
    assert ours.moment.tzinfo is not None


async def test_what_returns_no_rows_finds_none_and_is_committed(database: Database, direct: Direct):
    async with direct.statement() as line:
        await line.execute(text("create table words (word text)"), {})
        assert (await line.execute(text("insert into words values (:word)"), {"word": "a:b"})).all() == []
    async with database.statement() as connection:
        assert list((await connection.execute(text("select word from words"), {})).scalars()) == ["a:b"]


async def test_a_connection_is_kept_for_the_next_statement(direct: Direct):
    pids = set()
    for _ in range(3):
        async with direct.statement() as line:
            pids.add(await pid(line))
    assert len(pids) == 1


async def test_a_server_that_is_away_is_an_absent_store():
    with pytest.raises(StoreUnavailable):
        async with Direct("postgresql://nobody@/nowhere?host=/nonexistent").statement():
            pass


async def test_a_killed_connection_is_an_absent_store_and_the_next_one_works(direct: Direct):
    with pytest.raises(StoreUnavailable):
        async with direct.statement() as line:
            await line.execute(text("select pg_terminate_backend(pg_backend_pid())"), {})
    async with direct.statement() as line:
        assert await pid(line)


@pytest.mark.parametrize("kind", [Database, Direct])
async def test_a_connection_that_died_idle_is_handed_to_nobody(
    database: Database,
    database_url: str,  # noqa: F811
    kind: type[Database] | type[Direct],
):
    lines = kind(database_url)
    async with lines.statement() as one, lines.statement() as other:
        pids = [await pid(one), await pid(other)]
    async with database.statement() as connection:
        await connection.execute(text("select pg_terminate_backend(pid, 5000) from unnest(:pids) pid"), {"pids": pids})
    async with lines.statement() as line:
        assert await pid(line) not in pids
    await lines.close()


async def test_a_statement_that_is_cut_leaves_the_next_one_alone(database: Database, direct: Direct):
    sleeping = asyncio.create_task(_sleep(direct))
    asked = text("select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active'")
    async with asyncio.timeout(10):
        async with database.statement() as connection:
            while (await connection.execute(asked, {})).scalar_one() < 2:  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.01)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    async with direct.statement() as line:
        assert await pid(line)


async def _sleep(direct: Direct) -> None:
    async with direct.statement() as line:
        await line.execute(text("select pg_sleep(30)"), {})


async def test_a_fault_of_the_query_stays_one_and_spoils_no_connection(direct: Direct):
    async with direct.statement() as line:
        before = await pid(line)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        async with direct.statement() as line:
            await line.execute(text("select nonsense"), {})
    async with direct.statement() as line:
        assert await pid(line) == before


async def test_giving_up_the_wait_is_an_absent_store(direct: Direct):
    async with direct.statement() as line:
        await line.execute(text("set statement_timeout = '20ms'"), {})
    with pytest.raises(StoreUnavailable):
        await _sleep(direct)


async def test_no_free_connection_in_time_is_an_absent_store(database_url: str):  # noqa: F811
    lines = Direct(database_url, connections=1, turn_timeout_s=0.01)
    async with lines.statement():
        with pytest.raises(StoreUnavailable):
            async with lines.statement():
                pass
    await lines.close()


@pytest.mark.parametrize(("durable", "setting"), [(True, "on"), (False, "off")])
async def test_only_what_may_be_forgotten_is_committed_without_a_wait(
    database_url: str,  # noqa: F811
    durable: bool,
    setting: str,
):
    lines = Direct(database_url, durable=durable)
    async with lines.statement() as line:
        found = await line.execute(text("show synchronous_commit"), {})
    assert list(found.scalars()) == [setting]
    await lines.close()


@pytest.mark.parametrize("kind", [Database, Direct])
async def test_a_server_that_is_frozen_is_an_absent_store(
    database_url: str,  # noqa: F811
    kind: type[Database] | type[Direct],
):
    lines = kind(database_url, answer_timeout_s=0.2)
    async with lines.statement() as line:
        frozen = await pid(line)
    os.kill(frozen, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):
            with pytest.raises(StoreUnavailable):
                async with lines.statement() as line:
                    await pid(line)
            async with lines.statement() as line:  # over another connection, whose server answers
                assert await pid(line) != frozen
    finally:
        os.kill(frozen, signal.SIGCONT)
    await lines.close()


async def test_a_time_out_of_who_holds_a_connection_is_its_own(direct: Direct):
    with pytest.raises(TimeoutError, match="mine"):
        async with direct.statement():
            raise TimeoutError("mine")
