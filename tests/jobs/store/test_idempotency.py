"""An idempotency key gives one job and one answer, whoever comes at the same time."""

import asyncio
import hashlib
import uuid

import pytest
from sqlalchemy import text

from jobs.store import idempotency
from jobs.store.idempotency import Claim, InFlight, OtherBody, Reply
from jobs.store.session import Database
from jobs.store.submit import insert
from tests.jobs.store import given


def claim(tenant_id: uuid.UUID, body: bytes = b"body", key: str = "k") -> Claim:
    return Claim(tenant_id, "/v1/jobs", key, hashlib.sha256(body).digest())


async def test_the_first_takes_the_key_and_the_second_gets_the_firsts_reply(database: Database):
    wanted = claim(await given.tenant(database))
    async with database.transaction() as connection:
        assert await idempotency.take(connection, wanted, Reply(202, b"first")) is None
    async with database.transaction() as connection:
        assert await idempotency.take(connection, wanted, Reply(202, b"second")) == Reply(202, b"first")


async def test_another_body_under_the_same_key_is_refused(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        await idempotency.take(connection, claim(tenant_id), Reply(202, b""))
    with pytest.raises(OtherBody):
        async with database.transaction() as connection:
            await idempotency.take(connection, claim(tenant_id, b"other"), Reply(202, b""))


async def test_keys_of_two_tenants_do_not_meet(database: Database):
    for name in ("one", "two"):
        async with database.transaction() as connection:
            wanted = claim(await given.tenant(database, name))
            assert await idempotency.take(connection, wanted, Reply(202, b"")) is None


async def test_a_transaction_that_fails_gives_the_key_back(database: Database):
    wanted = claim(await given.tenant(database))

    async def fail() -> None:
        async with database.transaction() as connection:
            await idempotency.take(connection, wanted, Reply(202, b"lost"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.transaction() as connection:
        assert await idempotency.take(connection, wanted, Reply(202, b"kept")) is None


async def test_who_waits_too_long_behind_a_holder_is_told_that_it_is_in_flight(database: Database):
    wanted = claim(await given.tenant(database))
    async with database.transaction() as holder:
        await idempotency.take(holder, wanted, Reply(202, b""))
        with pytest.raises(InFlight):
            async with database.transaction() as connection:
                await idempotency.take(connection, wanted, Reply(202, b""))


async def test_twenty_parallel_submits_with_one_key_make_one_job(database: Database):
    tenant_id = await given.tenant(database)
    wanted = claim(tenant_id)

    async def submit() -> bytes:
        job = given.submission(tenant_id)
        async with database.transaction() as connection:
            before = await idempotency.take(connection, wanted, Reply(202, job.id.bytes))
            if before is not None:
                return before.body
            await insert(connection, [job])
            return job.id.bytes

    answers = await asyncio.gather(*(submit() for _ in range(20)))
    async with database.statement() as connection:
        made = (await connection.execute(text("select id from jobs"))).scalars().all()
    assert [job_id.bytes for job_id in made] == list(set(answers))


async def test_after_a_day_the_key_is_free_again(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        await idempotency.take(connection, claim(tenant_id), Reply(202, b"old"))
        await connection.execute(text("update idempotency set created_at = now() - interval '25 hours'"))
    async with database.transaction() as connection:
        assert await idempotency.find(connection, tenant_id, "/v1/jobs", "k") is None
        assert await idempotency.take(connection, claim(tenant_id, b"new"), Reply(202, b"new")) is None


async def test_an_answer_is_found_by_its_tenant_route_and_key_and_given_for_the_same_body_only(database: Database):
    wanted = claim(await given.tenant(database))
    async with database.transaction() as connection:
        assert await idempotency.take(connection, wanted, Reply(202, b"first")) is None
    async with database.statement() as connection:
        kept = await idempotency.find(connection, wanted.tenant_id, wanted.route, wanted.key)
        others = [(uuid.uuid4(), wanted.route, "k"), (wanted.tenant_id, "/v1", "k"), (wanted.tenant_id, "/v1/jobs", "")]
        assert [await idempotency.find(connection, *other) for other in others] == [None] * 3
    assert kept is not None
    assert kept.reply_to(wanted.body_sha256) == Reply(202, b"first")
    with pytest.raises(OtherBody):
        kept.reply_to(claim(wanted.tenant_id, b"other").body_sha256)
