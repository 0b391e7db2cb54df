"""Processes learn together: what one saw, another estimates by; and without Postgres the shipped guess goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from jobs.lessons import MOST_IN_A_ROUND, MOST_UNTOLD, Lessons
from jobs.store.session import Database
from routing.tokens import InputEstimate, estimate
from tests.routing.yards import request

NAME = "m/a@p"
GUESS = estimate(request("The weather in Bonn is fine today, and so is the wine in this town. " * 9))
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=4)
    yield opened
    await opened.close()


@pytest.fixture
async def nowhere() -> AsyncIterator[Database]:
    opened = Database(NOWHERE, pool_size=1)
    yield opened
    await opened.close()


def see(lessons: Lessons, times: int, tokens: int = GUESS.tokens * 2) -> None:
    for _ in range(times):
        lessons.see(NAME, GUESS, tokens)


async def test_what_two_workers_saw_a_third_process_estimates_by(database: Database):
    one, two, third = (Lessons(database) for _ in range(3))
    see(one, 30)
    see(two, 30)
    for lessons in (one, two, third):
        await lessons.round()
    found = third.fits[NAME]
    assert found.seen == 60
    assert found.estimate(GUESS).tokens == pytest.approx(2 * GUESS.tokens, rel=0.1)


async def test_a_restarted_process_knows_what_was_learnt(database: Database):
    before = Lessons(database)
    see(before, 30)
    await before.round()
    await before.round()  # tells nothing twice
    after = Lessons(database)
    await after.round()
    assert after.fits[NAME].seen == before.fits[NAME].seen == 30


async def test_weights_are_worked_out_again_only_when_enough_is_new(database: Database):
    lessons = Lessons(database)
    see(lessons, 100)
    await lessons.round()
    known = lessons.fits[NAME]
    see(lessons, 2)
    await lessons.round()
    assert lessons.fits[NAME] is known
    see(lessons, 20)
    await lessons.round()
    assert lessons.fits[NAME].seen == 122


async def test_nonsense_and_what_is_not_text_teach_nothing(database: Database):
    lessons = Lessons(database)
    see(lessons, 5, tokens=10_000_000)
    see(lessons, 5, tokens=0)
    lessons.see(NAME, InputEstimate(10, 20, has_images=False), 10)
    lessons.see(NAME, estimate(request([{"type": "file", "data": "A" * 400}])), 10)
    await lessons.round()
    assert lessons.fits == {}


async def test_a_busy_process_takes_up_some_of_what_it_sees(database: Database):
    lessons = Lessons(database)
    see(lessons, 10 * MOST_IN_A_ROUND)
    await lessons.round()
    assert lessons.fits[NAME].seen == MOST_IN_A_ROUND


async def test_without_postgres_the_guess_goes_on_and_little_is_kept(
    nowhere: Database, caplog: pytest.LogCaptureFixture
):
    lessons = Lessons(nowhere)
    for number in range(MOST_UNTOLD + 20):
        lessons.see(f"m/{number}@p", GUESS, 100)
        if number % MOST_IN_A_ROUND == MOST_IN_A_ROUND - 1:
            await lessons.round()
    await lessons.round()
    assert lessons.fits == {}
    assert len(lessons._untold) == MOST_UNTOLD
    assert caplog.text.count("token estimates stay as they are") == 1


async def test_it_works_for_ever_beside_the_jobs_and_forgets_what_nobody_uses(database: Database):
    lessons, before = Lessons(database), Lessons(database)
    before.see("m/old@p", GUESS, 100)
    await before.round()
    async with database.statement() as connection:
        await connection.execute(text("update token_sums set seen_at = now() - interval '91 days'"))
    see(lessons, 30)
    work = asyncio.create_task(lessons.work())
    left = await names(database)
    for _ in range(1_000):
        if left == [NAME]:
            break
        await asyncio.sleep(0.01)
        left = await names(database)
    assert left == [NAME]
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert NAME in lessons.fits


async def names(database: Database) -> list[str]:
    async with database.statement() as connection:
        return list((await connection.execute(text("select deployment from token_sums"))).scalars())


async def test_stopped_in_the_middle_of_a_round_it_ends_the_round_first(database: Database):
    lessons = Lessons(database)
    see(lessons, 30)
    work = asyncio.create_task(lessons.work())
    await asyncio.sleep(0)  # begun, and no more
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert NAME in lessons.fits
