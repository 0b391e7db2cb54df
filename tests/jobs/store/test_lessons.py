"""Lessons are laid over each other as the pure rule says, whoever brings them, and are read back by all."""

import datetime as dt

import pytest
from sqlalchemy import text

from jobs.store import lessons
from jobs.store.lessons import Lesson
from jobs.store.session import Database
from routing.learn.sums import LENGTH, merged

OLD = [float(place % 7) for place in range(LENGTH)]
NEW = [30.0, *(place % 5 / 3 for place in range(1, LENGTH))]


async def learn(database: Database, *taught: Lesson) -> None:
    async with database.statement() as connection:
        await lessons.learn(connection, taught)


async def read(database: Database, since: dt.datetime | None = None) -> list[Lesson]:
    async with database.statement() as connection:
        return (await lessons.read(connection, since))[0]


@pytest.mark.parametrize("seen", [30.0, 350.0, 5_000.0])
async def test_new_sums_are_laid_over_old_ones_as_the_pure_rule_does(database: Database, seen: float):
    new = [seen, *NEW[1:]]
    await learn(database, Lesson("m/a@p", "english", OLD))
    await learn(database, Lesson("m/a@p", "english", new), Lesson("m/a@p", "code", new))
    found = {lesson.kind: lesson.sums for lesson in await read(database)}
    assert found["code"] == pytest.approx(new)
    assert found["english"] == pytest.approx(merged(OLD, new))


async def test_sums_of_another_layout_are_not_read_and_begun_anew(database: Database):
    await learn(database, Lesson("m/a@p", "english", OLD))
    async with database.statement() as connection:
        await connection.execute(text("update token_sums set layout = 0, sums = '{1}'"))
    assert await read(database) == []
    await learn(database, Lesson("m/a@p", "english", NEW))
    assert [lesson.sums for lesson in await read(database)] == [pytest.approx(NEW)]


async def test_only_what_changed_since_is_read(database: Database):
    await learn(database, Lesson("m/a@p", "english", OLD))
    async with database.statement() as connection:
        first, newest = await lessons.read(connection, None)
        assert (len(first), await lessons.read(connection, newest)) == (1, ([], None))
    await learn(database, Lesson("m/b@p", "english", OLD))
    assert [lesson.deployment for lesson in await read(database, newest)] == ["m/b@p"]


async def test_what_nobody_uses_is_forgotten(database: Database):
    await learn(database, Lesson("m/a@p", "english", OLD), Lesson("m/b@p", "english", OLD))
    async with database.statement() as connection:
        await connection.execute(
            text("update token_sums set seen_at = now() - interval '91 days' where deployment = 'm/a@p'")
        )
        await lessons.forget(connection, 90)
    assert [lesson.deployment for lesson in await read(database)] == ["m/b@p"]
