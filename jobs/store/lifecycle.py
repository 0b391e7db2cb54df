"""The moves of a running job: claim, open, settle; each one statement, conditional on the state it leaves."""

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text

from jobs.chat import USAGE_KINDS, ChatRequest
from jobs.failures import Failure, FailureKind
from jobs.job import Job, PastAttempt
from jobs.lanes import TERMS, Lane
from jobs.policy import Intent
from jobs.states import Outcome
from jobs.store.charges import (
    BOOK,
    IS_CHARGED_TO,
    LIVE_OPENINGS,
    OPENING_COLUMNS,
    SAID_TWICE,
    SETTLED,
    WAS,
    open_within_budgets,
)
from jobs.store.direct import Line
from jobs.store.rows import Move, Opening, move_rows, opening_rows

# queued -> running, for the ids of a bell. SKIP LOCKED: two bells with one id must not wait for each other.
_RUNG = """
    select id from jobs
    where state = 'queued' and id = any(:ids) and released_at is not null and deadline_at > now()
        and cancel_requested_at is null
    limit :most for update skip locked
"""
# queued -> running without a bell: what was released a while ago and nobody came for, of several lanes by their
# weights: the nth job of a lane counts as its turn number n / weight. More are locked than taken, until the commit.
_POLLED = """
    select d.id from jsonb_to_recordset(cast(:lanes as jsonb)) as l(lane text, weight integer)
    cross join lateral (
        select id, row_number() over (order by released_at) as nth from (
            select id, released_at from jobs
            where lane = l.lane and state = 'queued' and released_at < now() - make_interval(secs => :silence_s)
                and deadline_at > now() and cancel_requested_at is null
            order by released_at limit :most for update skip locked
        ) lost
    ) d
    order by d.nth::float8 / l.weight limit :most
"""
_CLAIM = """
with mine as materialized ({which})
update jobs set state = 'running', token = gen_random_uuid(), claims = claims + 1,
    lease_until = now() + make_interval(secs => :lease_s), started_at = coalesce(started_at, now())
from mine where jobs.id = mine.id
returning jobs.id, tenant_id, token, lane, policy, task, intent, strict, created_at, deadline_at,
    extract(epoch from deadline_at - now())::float8 as time_left_s, claims, traceparent
"""
CLAIM_RUNG = text(_CLAIM.format(which=_RUNG))
CLAIM_POLLED = text(_CLAIM.format(which=_POLLED))

# A statement of its own: within the claim, a look into a partitioned table found nothing whenever one of the rows had
# just been taken by another (Postgres 18.4: a row that is checked again spoils the pruning).
# The bounds are redundant with the ids; they let Postgres skip the other days' partitions.
BODIES = text("select id, body from payloads where id = any(:ids) and id between :first and :last")
PAST = text("""
select id, job_id, deployment, tier, outcome, failure, confidence, cost_usd, cost_bound_usd, finish_reason
from attempts where job_id = any(:ids) and outcome is not null order by id
""")

_IS_BUDGETED = f", exists (select from budgets b where {IS_CHARGED_TO.format(row='j')}) as is_budgeted"
# An attempt row exists only while the token holds and nobody asked to cancel: the fence stands before the spending.
# Those of whoever has a budget are only named: what they reserve must fit first.
OPEN = text(f"""
with f as materialized ({LIVE_OPENINGS.format(more=_IS_BUDGETED)}), opened as (
    insert into attempts ({OPENING_COLUMNS}) select {OPENING_COLUMNS} from f where not is_budgeted
    {SAID_TWICE}
    returning id
)
select id, false as is_budgeted from opened union all select id, true from f where is_budgeted
""")  # noqa: S608 -- made of constants of jobs.store.charges

# running -> succeeded | failed | cancelled | expired | queued, and the attempt's bill, in one transaction.
# The attempt is booked by its own id even when the job has moved on; then an answer is `orphaned`, never `accepted`,
# and not stored: nobody will hand it out, and its job may have been erased. Id and token together say whose row is
# whose: one process may hold a stale and a fresh claim of one job in the same flush.
# Whoever comes to an end, or back from a call that was made to its end, has survived: it is cleared, and quarantine
# sends it home. A job that was only turned away at the gate, or given back, has proved nothing.
_SURVIVED = "(f.state <> 'queued' or coalesce(f.outcome in ('failed', 'rejected'), false))"
# A kind that is not said of usage that is known is 0: providers leave out what there was none of.
_KINDS_SAID = ", ".join(f"{name} integer" for name in USAGE_KINDS)
_IS_COUNTED = "coalesce(f.input_tokens, f.output_tokens) is not null"
_KINDS_SET = ", ".join(f"{name} = case when {_IS_COUNTED} then coalesce(f.{name}, 0) end" for name in USAGE_KINDS)
SETTLE = text(f"""
with f as materialized (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as f(
        job_id uuid, token uuid, state text, delay_s float8, error jsonb, receipt jsonb, adaptations jsonb,
        intent_kept boolean, answer_attempt uuid, attempt_id uuid, outcome text, failure text, status smallint,
        finish_reason text, confidence float8, input_tokens integer, output_tokens integer, cost_usd numeric,
        cost_basis text, first_token_ms integer, total_ms integer, {_KINDS_SAID}, body text)
), won as (
    update jobs j set
        state = case when f.state = 'queued' and j.cancel_requested_at is not null then 'cancelled' else f.state end,
        token = null, lease_until = null, error = f.error, receipt = coalesce(f.receipt, j.receipt),
        adaptations = coalesce(f.adaptations, j.adaptations), intent_kept = f.intent_kept,
        answer_attempt = f.answer_attempt,
        finished_at = case when f.state <> 'queued' or j.cancel_requested_at is not null then clock_timestamp() end,
        released_at = case when f.state = 'queued' then null else j.released_at end,
        run_at = case when f.state = 'queued' then now() + make_interval(secs => f.delay_s) else j.run_at end,
        deferred = f.state = 'queued' and f.delay_s > 0,
        deaths = case when f.state = 'queued' and {_SURVIVED} then 0 else j.deaths end,
        lane = case when {_SURVIVED} then coalesce(j.home_lane, j.lane) else j.lane end,
        home_lane = case when {_SURVIVED} then null else j.home_lane end
    from f where f.state is not null and j.id = f.job_id and j.token = f.token and j.state = 'running'
    returning j.id, f.token
), held as (
    select j.id, j.token from jobs j join f on j.id = f.job_id and j.token = f.token
    where f.state is null and j.state = 'running'
), mine as (
    select id, token from won union all select id, token from held
), {WAS}, closed as (
    update attempts a set
        outcome = case when f.outcome in ('accepted', 'rejected')
                and (f.job_id, f.token) not in (select id, token from mine)
            then 'orphaned' else f.outcome end,
        closed_at = clock_timestamp(), failure = f.failure, status = f.status, finish_reason = f.finish_reason,
        confidence = f.confidence, input_tokens = f.input_tokens, output_tokens = f.output_tokens,
        cost_usd = f.cost_usd, cost_basis = f.cost_basis, first_token_ms = f.first_token_ms, total_ms = f.total_ms,
        {_KINDS_SET}
    from f left join was on was.id = f.attempt_id
    where a.id = f.attempt_id and a.id between :first and :last and (a.outcome is null or a.outcome = 'unknown')
    returning {SETTLED}
), {BOOK}, kept as (
    insert into payloads (id, body) select f.attempt_id, decode(f.body, 'base64') from f
    where f.body is not null and (f.job_id, f.token) in (select id, token from mine)
    on conflict do nothing
)
select token from mine
""")  # noqa: S608 -- made of constants of this file and of jobs.store.charges

UNREADABLE = Failure(FailureKind.INTERNAL, "its request is not in the record any more, or can't be read")


class Claimed(NamedTuple):
    """What a claim took."""

    jobs: list[Job]
    unreadable: list[Move]
    """To be written: they fail jobs whose request is gone or can't be read."""


async def claim_rung(line: Line, ids: Sequence[uuid.UUID], *, lease_s: float) -> Claimed:
    """Take the jobs of a bell that still wait: each gets a fresh token and a lease by the database clock.

    Needs no transaction: the requests are read before, and a claim that is not heard of waits for its lease anyway.
    """
    bodies = await _bodies(line, ids)
    claimed = await line.execute(CLAIM_RUNG, {"ids": list(ids), "most": len(ids), "lease_s": lease_s})
    return await _complete(line, claimed.all(), bodies)


async def claim_polled(line: Line, lanes: Sequence[Lane], *, most: int, silence_s: float, lease_s: float) -> Claimed:
    """Take up to `most` jobs of these lanes, by their weights, whose bell was lost (released over `silence_s` ago).

    Wants a transaction.
    """
    weights = msgspec.json.encode([{"lane": lane, "weight": TERMS[lane].weight} for lane in lanes]).decode()
    names = {"lanes": weights, "most": most, "silence_s": silence_s, "lease_s": lease_s}
    claimed = (await line.execute(CLAIM_POLLED, names)).all()
    if not claimed:
        return Claimed([], [])
    return await _complete(line, claimed, await _bodies(line, [row.id for row in claimed]))


async def open_attempts(line: Line, openings: list[Opening]) -> set[uuid.UUID]:
    """Write attempts before their bytes leave; returns the ids written.

    Do not call for a missing one: it has lost its job, or a budget has no room for it.
    """
    found = (await line.execute(OPEN, {"rows": opening_rows(openings)})).all()
    opened = {row.id for row in found if not row.is_budgeted}
    if len(opened) < len(found):
        budgeted = {row.id for row in found} - opened
        opened |= await open_within_budgets(line, [each for each in openings if each.id in budgeted])
    return opened


async def settle(line: Line, moves: list[Move]) -> set[uuid.UUID]:
    """Close attempts and move jobs; returns the tokens that held. The rest lost only their job half."""
    attempt_ids = [move.closing.id for move in moves if move.closing is not None]
    first, last = (min(attempt_ids), max(attempt_ids)) if attempt_ids else (uuid.UUID(int=0), uuid.UUID(int=0))
    found = await line.execute(SETTLE, {"rows": move_rows(moves), "first": first, "last": last})
    return set(found.scalars())


async def _bodies(line: Line, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, bytes]:
    """The requests of jobs; those that are gone are missing."""
    found = await line.execute(BODIES, {"ids": list(ids), "first": min(ids), "last": max(ids)})
    return {row.id: row.body for row in found}


async def _complete(line: Line, rows: Sequence[Any], bodies: Mapping[uuid.UUID, bytes]) -> Claimed:
    """The jobs of claimed rows; for those claimed before, their closed attempts are fetched.

    A row whose request is gone or unreadable fails alone: raising here would leave its neighbours to their leases.
    """
    past: dict[uuid.UUID, list[Any]] = {}
    if again := [row.id for row in rows if row.claims > 1]:
        for attempt in await line.execute(PAST, {"ids": again}):
            past.setdefault(attempt.job_id, []).append(attempt)
    found = Claimed([], [])
    for row in rows:
        try:
            found.jobs.append(_job(row, bodies[row.id], tuple(map(_past, past.get(row.id, ())))))
        except (KeyError, ValueError):  # InvalidRequest and msgspec's are ValueErrors; so is a kind of a newer version
            found.unreadable.append(Move.fail(row.id, row.token, UNREADABLE, None))
    return found


def _job(row: Any, raw: bytes, past: tuple[PastAttempt, ...]) -> Job:
    return Job(
        id=row.id,
        tenant_id=row.tenant_id,
        token=row.token,
        lane=Lane(row.lane),
        policy=row.policy,
        request=ChatRequest.parse(raw),
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        time_left_s=row.time_left_s,
        task=row.task,
        intent=msgspec.convert(row.intent, Intent, strict=False) if row.intent else Intent(),
        strict=row.strict,
        claims=row.claims,
        past=past,
        traceparent=row.traceparent,
    )


def _past(row: Any) -> PastAttempt:
    return PastAttempt(
        id=row.id,
        deployment=row.deployment,
        tier=row.tier,
        outcome=Outcome(row.outcome),
        failure=FailureKind(row.failure) if row.failure else None,
        confidence=row.confidence,
        cost_usd=row.cost_usd,
        cost_bound_usd=row.cost_bound_usd if row.cost_bound_usd is not None else Decimal(0),
        finish_reason=row.finish_reason,
    )
