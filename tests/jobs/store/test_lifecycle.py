"""Claim, open and settle in their corner cases: fences, late bills, repeated writes."""

import asyncio
import uuid
from collections import Counter
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from jobs.chat import Adaptation
from jobs.failures import Failure, FailureKind
from jobs.lanes import Lane
from jobs.receipt import Receipt
from jobs.states import Outcome, State
from jobs.store import lifecycle, owner, sweep
from jobs.store.direct import Direct
from jobs.store.rows import Closing, Move, Opening
from jobs.store.session import Database
from jobs.store.submit import insert
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given
from tests.jobs.store.shared import database_url, module_database_url  # noqa: F401 -- fixtures

LATE = "update jobs set lease_until = now() - interval '1 s' where state = 'running'"
FAILED = Failure(FailureKind.TRANSIENT, "broken")


async def one(database: Database, query: str, **names: Any) -> Any:
    async with database.statement() as connection:
        return (await connection.execute(text(query), names)).one()


async def settle(database: Database, *moves: Move) -> set[uuid.UUID]:
    async with database.statement() as connection:
        return await lifecycle.settle(connection, list(moves))


async def rescued(database: Database) -> None:
    """The worker dies: its lease runs out and the sweeper comes."""
    async with database.statement() as connection:
        await connection.execute(text(LATE))
        await sweep.rescue(connection, 3)


async def running(database: Database) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID, uuid.UUID]:
    """(tenant, job, token, open attempt) of a job in the middle of its call."""
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    token = await given.claimed(database, job_id)
    return tenant_id, job_id, token, await given.attempt(database, job_id, token)


async def test_two_claims_of_one_bell_share_the_jobs_and_never_wait(database: Database):
    tenant_id = await given.tenant(database)
    ids = [await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True) for _ in range(8)]

    async def claim() -> list[uuid.UUID]:
        async with database.statement() as connection:
            return [job.id for job in (await lifecycle.claim_rung(connection, ids, lease_s=30)).jobs]

    claimed = await asyncio.gather(*(claim() for _ in range(4)))
    assert sorted(job_id for each in claimed for job_id in each) == sorted(ids)


async def test_a_job_is_claimed_neither_unreleased_nor_late(database: Database):
    tenant_id = await given.tenant(database)
    waiting = await given.job(database, tenant_id)
    late = await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set deadline_at = now() where id = :id"), {"id": late})
        assert await lifecycle.claim_rung(connection, [waiting, late], lease_s=30) == ([], [])


async def test_who_claims_while_others_claim_the_same_has_the_request_of_each_job_it_took(
    database: Database,
    database_url: str,  # noqa: F811
):
    """A row that another has just taken is checked again, which once cost all rows of that claim their requests."""
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        made = [given.submission(tenant_id, lane=Lane.BULK) for _ in range(1500)]
        await insert(connection, made)
        await connection.execute(text("update jobs set released_at = now() - interval '1 hour'"))
    ids = [one.id for one in made]
    taken: list[uuid.UUID] = []

    async def ring(lines: Direct) -> None:
        async with lines.statement() as line:  # what Postgres comes to by itself after some statements
            await line.execute(text("set plan_cache_mode = force_generic_plan"), {})
        for start in range(0, len(ids), 20):
            async with lines.statement() as line:
                jobs, unreadable = await lifecycle.claim_rung(line, ids[start : start + 20], lease_s=30)
            assert not unreadable
            taken.extend(job.id for job in jobs)

    async def poll(lines: Direct) -> None:
        while len(taken) < len(ids):
            async with lines.transaction() as line:
                jobs, unreadable = await lifecycle.claim_polled(line, [Lane.BULK], most=10, silence_s=2.0, lease_s=30)
            assert not unreadable
            taken.extend(job.id for job in jobs)

    one, other = Direct(database_url, connections=2), Direct(database_url, connections=2)
    async with asyncio.timeout(60):
        await asyncio.gather(ring(one), ring(other), poll(one), poll(other))
    assert sorted(taken) == sorted(ids)
    await one.close()
    await other.close()


async def test_the_poll_leaves_fresh_releases_to_their_bell(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True)
    async with database.statement() as connection:
        poll = partial(lifecycle.claim_polled, connection, [Lane.INTERACTIVE], most=5, lease_s=30.0)
        assert await poll(silence_s=60.0) == ([], [])
        ((job,), _) = await poll(silence_s=0.0)
    assert job.id == job_id


async def test_of_two_claims_of_one_job_in_one_flush_only_the_fresh_one_hears_that_it_counted(database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    stale = await given.claimed(database, job_id)
    await settle(database, Move.defer(job_id, stale, 0.0, None))
    fresh = await given.claimed(database, job_id)
    late, now = uuid7(), uuid7()
    moves = [
        Move.succeed(job_id, stale, late, given.closing(late)),
        Move.succeed(job_id, fresh, now, given.closing(now)),
    ]
    assert await settle(database, *moves) == {fresh}


async def test_a_job_without_a_readable_request_fails_alone(database: Database):
    tenant_id = await given.tenant(database)
    good, gone, garbled = [await given.job(database, tenant_id, lane=Lane.INTERACTIVE, released=True) for _ in range(3)]
    async with database.statement() as connection:
        await connection.execute(text("delete from payloads where id = :id"), {"id": gone})
        await connection.execute(text("update payloads set body = '[]' where id = :id"), {"id": garbled})
        (job,), unreadable = await lifecycle.claim_rung(connection, [gone, good, garbled], lease_s=30)
        await lifecycle.settle(connection, unreadable)
        rows = await connection.execute(
            text("select id, state, error ->> 'kind' as kind from jobs where id <> :id"), {"id": good}
        )
        assert {(row.id, row.state, row.kind) for row in rows} == {
            (gone, "failed", "internal"),
            (garbled, "failed", "internal"),
        }
    assert job.id == good


async def test_a_job_may_be_deferred_a_hundred_thousand_times(database: Database):
    _, job_id, token, attempt_id = await running(database)
    cut = given.closing(attempt_id, outcome=Outcome.NOT_SENT, answer=None)
    await settle(database, Move.defer(job_id, token, 0.0, cut))
    async with database.statement() as connection:
        await connection.execute(text("update jobs set claims = 100000"))
    await given.claimed(database, job_id)
    assert (await one(database, "select claims from jobs")).claims == 100_001


async def test_a_call_is_opened_once_though_it_is_said_twice(database: Database):
    _, job_id, token, attempt_id = await running(database)
    opening = Opening(
        id=attempt_id, job_id=job_id, token=token, deployment="m/s@lab", model="m/s", provider="lab", tier=0
    )
    async with database.statement() as connection:
        assert await lifecycle.open_attempts(connection, [opening]) == {attempt_id}
    assert (await one(database, "select count(*) as n from attempts")).n == 1
    await settle(database, Move.close(job_id, token, given.closing(attempt_id, outcome=Outcome.REJECTED)))
    async with database.statement() as connection:
        assert await lifecycle.open_attempts(connection, [opening]) == set()


async def test_no_call_is_opened_after_the_owner_cancelled(database: Database):
    tenant_id, job_id, token, attempt_id = await running(database)
    await settle(database, Move.close(job_id, token, given.closing(attempt_id, outcome=Outcome.REJECTED)))
    async with database.statement() as connection:
        await owner.cancel_job(connection, tenant_id, job_id)
        opening = Opening(
            id=uuid7(), job_id=job_id, token=token, deployment="m/s@lab", model="m/s", provider="lab", tier=0
        )
        assert await lifecycle.open_attempts(connection, [opening]) == set()


async def test_a_success_writes_job_answer_and_bill_together(database: Database):
    _, job_id, token, attempt_id = await running(database)
    story = Receipt(policy="auto", catalog_version="1", policy_version="1")
    dropped = (Adaptation("seed", "dropped", "not known there"),)
    move = Move.succeed(job_id, token, attempt_id, given.closing(attempt_id)).with_story(
        story, dropped, intent_kept=True
    )
    assert await settle(database, move) == {token}
    job = await one(database, "select * from jobs")
    assert (job.state, job.answer_attempt, job.token, job.intent_kept) == ("succeeded", attempt_id, None, True)
    assert job.receipt["policy"] == "auto"
    assert job.adaptations[0]["field"] == "seed"
    attempt = await one(database, "select * from attempts")
    assert (attempt.outcome, attempt.cost_usd, attempt.cost_basis) == ("accepted", Decimal("0.000123400000"), "usage")
    assert attempt.confidence == pytest.approx(0.83)
    assert (await one(database, "select body from payloads where id = :id", id=attempt_id)).body == given.ANSWER


async def test_a_late_answer_is_booked_over_the_guess_and_neither_used_nor_kept(database: Database):
    _, job_id, token, attempt_id = await running(database)
    await rescued(database)
    guess = await one(database, "select outcome, cost_usd, cost_basis from attempts")
    assert tuple(guess) == ("unknown", None, "estimate")
    assert await settle(database, Move.succeed(job_id, token, attempt_id, given.closing(attempt_id))) == set()
    bill = await one(database, "select outcome, cost_usd, cost_basis from attempts")
    assert tuple(bill) == ("orphaned", Decimal("0.000123400000"), "usage")
    assert (await one(database, "select state, answer_attempt from jobs")) == ("queued", None)
    assert (await one(database, "select count(*) as n from payloads where id = :id", id=attempt_id)).n == 0


async def test_a_late_failure_keeps_its_name_and_books_its_cost(database: Database):
    _, job_id, token, attempt_id = await running(database)
    await rescued(database)
    late = Closing(id=attempt_id, outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, cost_usd=Decimal("0.5"))
    assert await settle(database, Move.close(job_id, token, late)) == set()
    assert (await one(database, "select outcome, cost_usd from attempts")) == ("failed", Decimal("0.5"))


async def test_a_stale_and_a_fresh_claim_in_one_flush_are_told_apart(database: Database):
    _, job_id, old, first = await running(database)
    await rescued(database)
    new = await given.claimed(database, job_id)
    second = await given.attempt(database, job_id, new)
    await settle(
        database,
        Move.succeed(job_id, old, first, given.closing(first)),
        Move.succeed(job_id, new, second, given.closing(second)),
    )
    assert (await one(database, "select state, answer_attempt from jobs")) == ("succeeded", second)
    assert (await one(database, "select outcome from attempts where id = :id", id=first)).outcome == "orphaned"
    assert (await one(database, "select outcome from attempts where id = :id", id=second)).outcome == "accepted"


async def test_an_ending_said_twice_changes_nothing_the_second_time(database: Database):
    _, job_id, token, attempt_id = await running(database)
    move = Move.succeed(job_id, token, attempt_id, given.closing(attempt_id))
    assert await settle(database, move) == {token}
    before = (await one(database, "select * from jobs"), await one(database, "select * from attempts"))
    again = Move.fail(job_id, token, FAILED, given.closing(attempt_id, cost_usd=Decimal(9)))
    assert await settle(database, move, again) == set()
    assert (await one(database, "select * from jobs"), await one(database, "select * from attempts")) == before


@pytest.mark.parametrize(
    ("outcome", "deaths"),
    [(Outcome.FAILED, 0), (Outcome.REJECTED, 0), (Outcome.CANCELLED, 1), (Outcome.NOT_SENT, 1)],
)
async def test_a_deferred_job_waits_its_time_and_its_deaths_are_forgiven_if_a_call_came_back(
    database: Database, outcome: Outcome, deaths: int
):
    _, job_id, token, attempt_id = await running(database)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set deaths = 1"))
    closing = given.closing(attempt_id, outcome=outcome, answer=None)
    assert await settle(database, Move.defer(job_id, token, 600.0, closing)) == {token}
    job = await one(database, "select *, run_at - now() > interval '590 s' as waits from jobs")
    assert (job.state, job.deaths, job.waits, job.released_at, job.finished_at) == ("queued", deaths, True, None, None)


async def test_the_poll_takes_of_its_lanes_by_their_weights_and_fills_up_from_whatever_waits(database: Database):
    tenant_id = await given.tenant(database)
    for lane, count in ((Lane.STANDARD, 14), (Lane.BULK, 14)):
        for _ in range(count):
            await given.job(database, tenant_id, lane=lane)
    async with database.statement() as connection:
        await connection.execute(text("update jobs set released_at = now() - interval '1 h'"))

        async def polled(most: int) -> Counter[Lane]:
            lanes = (Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK)
            jobs, _ = await lifecycle.claim_polled(connection, lanes, most=most, silence_s=2.0, lease_s=30)
            return Counter(job.lane for job in jobs)

        assert await polled(16) == {Lane.STANDARD: 12, Lane.BULK: 4}
        assert await polled(16) == {Lane.STANDARD: 2, Lane.BULK: 10}


async def test_a_flagged_job_is_cancelled_instead_of_deferred(database: Database):
    tenant_id, job_id, token, attempt_id = await running(database)
    async with database.statement() as connection:
        await owner.cancel_job(connection, tenant_id, job_id)
    cut = given.closing(attempt_id, outcome=Outcome.CANCELLED, answer=None)
    assert await settle(database, Move.defer(job_id, token, 5.0, cut)) == {token}
    job = await one(database, "select state, finished_at is not null as ended from jobs")
    assert tuple(job) == ("cancelled", True)


async def test_a_finish_that_wins_over_a_cancel_stays(database: Database):
    tenant_id, job_id, token, attempt_id = await running(database)
    async with database.statement() as connection:
        await owner.cancel_job(connection, tenant_id, job_id)
    assert await settle(database, Move.succeed(job_id, token, attempt_id, given.closing(attempt_id))) == {token}
    assert (await one(database, "select state from jobs")).state == "succeeded"


@pytest.mark.parametrize(
    ("state", "kind"), [(State.FAILED, "transient"), (State.EXPIRED, "deadline_passed"), (State.CANCELLED, None)]
)
async def test_each_ending_keeps_its_error_and_its_bill(database: Database, state: State, kind: str | None):
    _, job_id, token, attempt_id = await running(database)
    cut = given.closing(attempt_id, outcome=Outcome.CANCELLED, answer=None, cost_usd=None, cost_basis="estimate")
    moves = {
        State.FAILED: Move.fail(job_id, token, FAILED, cut),
        State.EXPIRED: Move.expire(job_id, token, cut),
        State.CANCELLED: Move.cancel(job_id, token, cut),
    }
    assert await settle(database, moves[state]) == {token}
    job = await one(database, "select state, error ->> 'kind' as kind from jobs")
    assert tuple(job) == (state, kind)
    attempt = await one(database, "select outcome, cost_usd, cost_bound_usd from attempts")
    assert tuple(attempt) == ("cancelled", None, Decimal("0.005"))


async def test_who_continues_sees_what_was_tried(database: Database):
    _, job_id, token, attempt_id = await running(database)
    low = given.closing(attempt_id, outcome=Outcome.REJECTED, confidence=0.4)
    assert await settle(database, Move.close(job_id, token, low)) == {token}
    assert await settle(database, Move.defer(job_id, token, 0.0, None)) == {token}
    async with database.statement() as connection:
        await given.release(connection, Lane.STANDARD, 5)
        ((job,), _) = await lifecycle.claim_rung(connection, [job_id], lease_s=30)
    (past,) = job.past
    assert (past.id, past.outcome, past.deployment, past.answered) == (
        attempt_id,
        Outcome.REJECTED,
        "maker/small@lab",
        True,
    )
    assert (past.cost_usd, past.cost_bound_usd) == (Decimal("0.0001234"), Decimal("0.005"))


async def test_an_empty_flush_is_no_trouble(database: Database):
    assert await settle(database) == set()
