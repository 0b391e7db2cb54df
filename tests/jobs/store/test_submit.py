"""Jobs go in by insert and by COPY, byte for byte."""

import uuid
from decimal import Decimal

import pytest
from hypothesis import given as example
from hypothesis import strategies as st
from psycopg import errors
from sqlalchemy import exc, text

from jobs.chat import ChatRequest
from jobs.lanes import Lane
from jobs.policy import Intent
from jobs.store import lifecycle
from jobs.store.flush import Flush
from jobs.store.session import Database
from jobs.store.submit import MOST_WAITING_INTERACTIVE, Batch, Spool, copy_in, copy_line, insert
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given

AWKWARD = 'tab\t line\n back\\slash "quoted" \\N \\. é 🚂'


async def test_an_inserted_job_is_claimed_with_everything_it_came_with(database: Database):
    tenant_id = await given.tenant(database)
    wish = Intent(max_cost_usd=Decimal("0.01"), max_latency_ms=800)
    wanted = given.submission(
        tenant_id, lane=Lane.INTERACTIVE, released=True, intent=wish, task=AWKWARD, strict=True, custom_id="q-1"
    )
    async with database.transaction() as connection:
        assert await insert(connection, [wanted]) == {wanted.id}
        ((job,), _) = await lifecycle.claim_rung(connection, [wanted.id], lease_s=30)
    assert (job.intent, job.task, job.strict, job.policy) == (wish, AWKWARD, True, "auto")
    assert job.request == ChatRequest.parse(given.RAW)
    assert job.deadline_at == wanted.deadline_at


async def test_said_twice_it_is_done_once(database: Database):
    tenant_id = await given.tenant(database)
    wanted = given.submission(tenant_id)
    for _ in range(2):
        async with database.statement() as connection:
            assert await insert(connection, [wanted]) == {wanted.id}
    async with database.statement() as connection:
        assert (await connection.execute(text("select count(*) from jobs"))).scalar_one() == 1


async def test_interactive_jobs_are_born_released_up_to_a_tenants_limit(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    many = [
        given.submission(tenant_id, lane=Lane.INTERACTIVE, released=True) for _ in range(MOST_WAITING_INTERACTIVE + 5)
    ]
    one_more = given.submission(tenant_id, lane=Lane.INTERACTIVE, released=True)
    elsewhere = given.submission(other, lane=Lane.INTERACTIVE, released=True)
    standard = given.submission(tenant_id)
    async with database.statement() as connection:
        await insert(connection, [*many, standard])
        await insert(connection, [one_more, elsewhere])
        rows = await connection.execute(text("select tenant_id, count(released_at) as n from jobs group by 1"))
        released = {row.tenant_id: row.n for row in rows}
    assert released == {tenant_id: MOST_WAITING_INTERACTIVE, other: 1}


async def test_a_bad_row_costs_only_itself_in_a_group_commit(database: Database):
    tenant_id = await given.tenant(database)
    flush = Flush(database, insert, lambda row: row.id, window_s=0.0)
    good, bad = given.submission(tenant_id), given.submission(uuid.uuid4())
    written = flush.add(good)
    with pytest.raises(exc.IntegrityError):
        await flush.add(bad)
    assert await written


async def test_a_bulk_copy_writes_what_an_insert_would(database: Database):
    tenant_id = await given.tenant(database)
    batch_id = uuid7()
    wish = Intent(max_cost_usd=Decimal("0.01"))
    wanted = [
        given.submission(
            tenant_id,
            batch_id=batch_id,
            batch_seq=seq,
            custom_id=AWKWARD,
            task=AWKWARD,
            metadata={"a\\b": AWKWARD},
            intent=wish,
        )
        for seq in range(3)
    ]
    twin = given.submission(tenant_id, custom_id=AWKWARD, task=AWKWARD, metadata={"a\\b": AWKWARD}, intent=wish)
    with Spool(memory_bytes=64) as spool:
        for each in wanted:
            spool.add(each)
        async with database.transaction() as connection:
            await copy_in(connection, Batch(id=batch_id, tenant_id=tenant_id, total=3), spool)
            await insert(connection, [twin])
    async with database.statement() as connection:
        rows = (await connection.execute(text("select * from jobs order by batch_seq"))).mappings().all()
        bodies = (await connection.execute(text("select body from payloads"))).scalars().all()
    own = {"id", "batch_id", "batch_seq", "created_at", "deadline_at", "urgent_at", "run_at"}
    for row in rows[:3]:
        assert {k: v for k, v in row.items() if k not in own} == {k: v for k, v in rows[3].items() if k not in own}
    assert rows[0]["custom_id"] == AWKWARD
    assert [row["deadline_at"] for row in rows[:3]] == [each.deadline_at for each in wanted]
    assert [bytes(body) for body in bodies] == [given.RAW] * 4


async def test_a_copy_may_take_minutes_and_only_its_own_transaction_may(database: Database):
    tenant_id = await given.tenant(database)
    show = text("show statement_timeout")
    batch = Batch(id=uuid7(), tenant_id=tenant_id, total=1)
    async with database.transaction() as connection:
        pid = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
        with Spool() as spool:
            spool.add(given.submission(tenant_id, batch_id=batch.id, batch_seq=0))
            await copy_in(connection, batch, spool)
        assert (await connection.execute(show)).scalar_one() == "10min"
    async with database.transaction() as connection:
        assert (await connection.execute(text("select pg_backend_pid()"))).scalar_one() == pid
        assert (await connection.execute(show)).scalar_one() == "30s"


async def test_a_bulk_that_fails_half_way_leaves_nothing(database: Database):
    tenant_id = await given.tenant(database)
    batch_id = uuid7()
    twice = given.submission(tenant_id, batch_id=batch_id, batch_seq=0)
    with Spool() as spool:
        spool.add(twice)
        spool.add(twice)
        with pytest.raises(errors.UniqueViolation):
            async with database.transaction() as connection:
                await copy_in(connection, Batch(id=batch_id, tenant_id=tenant_id, total=2), spool)
    async with database.statement() as connection:
        assert (await connection.execute(text("select count(*) from batches"))).scalar_one() == 0


@example(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50))
def test_a_copy_line_is_one_line_of_nineteen_fields_whatever_the_text(task: str):
    line = copy_line(given.submission(uuid.UUID(int=1), task=task, custom_id=task))
    assert line.count(b"\n") == 1
    assert line.count(b"\t") == 18
