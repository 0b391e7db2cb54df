"""Group commit: one bad row costs only itself, and no caller waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import exc, text

from jobs.store.direct import Line
from jobs.store.flush import MOST_ROWS, Flush
from jobs.store.session import Database, StoreUnavailable
from tests.jobs.store.shared import database_url, module_database_url  # noqa: F401 -- fixtures

Write = Callable[[Line, list[int]], Awaitable[set[int]]]


def flush(database: Database, write: Write, *, window_s: float = 0.0) -> Flush[int, int]:
    return Flush(database, write, lambda row: row, window_s=window_s, patience_s=(0.01, 0.01))


class Written:
    """Writes numbers into a table, one statement a group, and remembers the groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []

    async def __call__(self, line: Line, rows: list[int]) -> set[int]:
        self.groups.append(rows)
        found = await line.execute(
            text("insert into numbers select unnest(cast(:rows as integer[])) returning number"), {"rows": rows}
        )
        return set(found.scalars())


@pytest.fixture
async def numbers(database: Database) -> Database:
    async with database.transaction() as connection:
        await connection.execute(text("create table numbers (number integer primary key check (number <> 13))"))
    return database


async def stored(database: Database) -> list[int]:
    async with database.statement() as connection:
        return list((await connection.execute(text("select number from numbers order by number"))).scalars())


async def test_what_waits_together_goes_out_together_and_in_order(numbers: Database):
    write = Written()
    batch = flush(numbers, write, window_s=0.02)
    assert await asyncio.gather(*(batch.add(number) for number in (3, 1, 2))) == [True, True, True]
    assert write.groups == [[3, 1, 2]]
    assert await stored(numbers) == [1, 2, 3]


async def test_an_urgent_row_takes_along_who_waits(numbers: Database):
    write = Written()
    batch = flush(numbers, write, window_s=3600.0)
    patient = asyncio.create_task(batch.add(1))
    await asyncio.sleep(0)
    assert await batch.add(2, at_once=True)
    assert await patient
    assert write.groups == [[1, 2]]


async def test_a_full_group_does_not_wait_for_its_window(numbers: Database):
    write = Written()
    batch = flush(numbers, write, window_s=3600.0)
    rows = range(100, 100 + MOST_ROWS)
    assert all(await asyncio.gather(*(batch.add(number) for number in rows)))
    assert [len(group) for group in write.groups] == [MOST_ROWS]


async def test_more_than_one_write_can_carry_follows_by_itself(numbers: Database):
    write = Written()
    batch = flush(numbers, write)
    rows = [number for number in range(2000) if number != 13]
    assert all(await asyncio.gather(*(batch.add(number, at_once=True) for number in rows)))
    assert await stored(numbers) == rows
    assert max(len(group) for group in write.groups) <= MOST_ROWS
    assert all(group == sorted(group) for group in write.groups)
    assert sum(len(group) for group in write.groups) == len(rows)


async def test_one_bad_row_costs_only_itself(numbers: Database):
    batch = flush(numbers, Written(), window_s=0.01)
    results = await asyncio.gather(*(batch.add(number) for number in (1, 13, 2)), return_exceptions=True)
    assert results[0] is True
    assert results[2] is True
    assert isinstance(results[1], exc.IntegrityError)
    assert await stored(numbers) == [1, 2]


@pytest.mark.parametrize("error", [TypeError, UnicodeError])
async def test_a_row_that_is_no_json_costs_only_itself_too(numbers: Database, error: type[Exception]):
    async def write(_: Line, rows: list[int]) -> set[int]:
        if 13 in rows:
            raise error("not to be encoded")
        return set(rows)

    batch = flush(numbers, write, window_s=0.01)
    good, bad = await asyncio.gather(batch.add(1), batch.add(13), return_exceptions=True)
    assert good is True
    assert isinstance(bad, error)


async def test_a_row_that_did_not_count_is_told_so(numbers: Database):
    async def write(_: Line, rows: list[int]) -> set[int]:
        return {row for row in rows if row != 2}

    batch = flush(numbers, write, window_s=0.01)
    assert await asyncio.gather(*(batch.add(number) for number in (1, 2, 3))) == [True, False, True]


class Away:
    """A record whose first `times` connections fail."""

    def __init__(self, database: Database, times: int) -> None:
        self._database = database
        self.left = times

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Line]:
        self.left -= 1
        if self.left >= 0:
            raise StoreUnavailable
        async with self._database.statement() as connection:
            yield connection


async def test_a_short_absence_of_postgres_is_waited_out(numbers: Database):
    record: Any = Away(numbers, times=2)
    assert await flush(record, Written()).add(1)
    assert await stored(numbers) == [1]


async def test_an_absence_longer_than_patience_is_told_to_all_who_wait(numbers: Database):
    record: Any = Away(numbers, times=3)
    batch = flush(record, Written(), window_s=0.01)
    results = await asyncio.gather(*(batch.add(number) for number in (1, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    assert await batch.add(3)
    assert await stored(numbers) == [3]


async def test_a_defect_or_a_shutdown_leaves_nobody_waiting(numbers: Database):
    held = asyncio.Event()

    async def write(_: Line, rows: list[int]) -> set[int]:
        if 1 in rows:
            raise RuntimeError("a defect")
        held.set()
        await asyncio.Event().wait()
        return set(rows)

    batch = flush(numbers, write)
    with pytest.raises(RuntimeError, match="a defect"):
        await batch.add(1, at_once=True)
    waiter = asyncio.create_task(batch.add(2, at_once=True))
    await held.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task(), waiter}:
        if "_flush" in repr(task.get_coro()):
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_who_stops_waiting_does_not_stop_the_write(numbers: Database):
    batch = flush(numbers, Written(), window_s=0.01)
    given_up = asyncio.create_task(batch.add(1))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await batch.add(2)
    assert await stored(numbers) == [1, 2]
