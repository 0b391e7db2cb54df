"""What a lost limit counter is filled from: the ledger's last minute, never less than what was used."""

import datetime as dt
import uuid

from jobs.states import Outcome
from jobs.store.recent import last_minute
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given

TOKENS = 50
"""Of each call that `given` closes: 41 in and 9 out."""


async def used(database: Database, provider: str = "lab", later_s: float = 0.0) -> tuple[int, int | None]:
    async with database.statement() as connection:
        return await last_minute(connection, provider, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=later_s))


async def test_one_models_calls_are_counted_by_its_deployments(database: Database):
    await given.succeeded(database, await given.job(database, await given.tenant(database)))
    moment = dt.datetime.now(dt.UTC)
    async with database.statement() as connection:
        mine = await last_minute(connection, "lab", moment, ["maker/large@lab", "maker/small@lab"])
        others = await last_minute(connection, "lab", moment, ["maker/large@lab"])
        nobodys = await last_minute(connection, "lab", moment, [])
    assert (mine, others, nobodys) == ((1, TOKENS), (0, 0), (0, 0))


async def running(database: Database, provider: str = "lab") -> tuple[uuid.UUID, uuid.UUID, uuid.UUID]:
    job_id = await given.job(database, await given.tenant(database))
    token = await given.claimed(database, job_id)
    return job_id, token, await given.attempt(database, job_id, token, provider)


async def test_nothing_used_is_nothing(database: Database):
    assert await used(database) == (0, 0)


async def test_it_counts_the_providers_own_calls_of_the_last_minute(database: Database):
    for _ in range(3):
        await given.succeeded(database, await given.job(database, await given.tenant(database)))
    await running(database, "other")
    assert await used(database) == (3, 3 * TOKENS)
    assert await used(database, later_s=61) == (0, 0)


async def test_an_open_call_counts_as_an_average_one(database: Database):
    for _ in range(2):
        await given.succeeded(database, await given.job(database, await given.tenant(database)))
    await running(database)
    assert await used(database) == (3, 3 * TOKENS)


async def test_open_calls_only_have_tokens_that_nobody_knows(database: Database):
    await running(database)
    assert await used(database) == (1, None)


async def test_a_call_that_never_left_used_nothing(database: Database):
    job_id, token, attempt_id = await running(database)
    unsent = given.closing(attempt_id, outcome=Outcome.NOT_SENT, answer=None, total_ms=None)
    await given.settle(database, Move.close(job_id, token, unsent))
    assert await used(database) == (0, 0)
