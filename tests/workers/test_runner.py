"""A job's walk, verdict by verdict, against a real Postgres and a scripted provider."""

import asyncio
import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from jobs.lanes import Lane
from jobs.policy import Intent
from jobs.store import sweep
from jobs.store.flush import Flush
from jobs.store.lifecycle import settle
from jobs.store.session import StoreUnavailable
from routing.catalog_load import catalog_of
from tests.workers.lab import COST_USD, NOTHING_SHIPPED, Lab, answers, refuses
from workers.bootstrap import planner
from workers.leases import Stop

SURE, UNSURE = answers(), answers("maybe", logprob=-2.0)
SMALL_A, SMALL_B, LARGE = "maker/small@a", "maker/small@b", "maker/large@c"


async def test_a_good_answer_of_the_first_candidate_ends_the_job(lab: Lab):
    lab.script(a=[SURE])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    row, (attempt,) = await lab.row(job), await lab.attempts(job)
    assert (row.state, row.answer_attempt, row.token, row.lease_until) == ("succeeded", attempt.id, None, None)
    assert (attempt.deployment, attempt.outcome, attempt.cost_basis) == (SMALL_A, "accepted", "usage")
    assert (attempt.cost_usd, attempt.input_tokens, attempt.output_tokens) == (COST_USD, 41, 9)
    assert attempt.confidence == pytest.approx(0.99, abs=0.001)
    assert attempt.cost_bound_usd >= attempt.cost_usd


async def test_an_unsure_answer_escalates_and_its_bill_is_kept(lab: Lab):
    lab.script(a=[UNSURE], c=[SURE])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "rejected"), (LARGE, "accepted")]
    assert [row.cost_usd for row in await lab.attempts(job)] == [COST_USD, COST_USD]
    row = await lab.row(job)
    assert row.receipt["notes"] == [f"escalated to {LARGE}"]
    assert row.receipt["policy"] == "auto"


async def test_a_503_fails_over_to_the_sibling_in_the_tier(lab: Lab):
    lab.script(a=[refuses(503)], b=[SURE])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "failed"), (SMALL_B, "accepted")]
    (broken, _) = await lab.attempts(job)
    assert (broken.failure, broken.status, broken.cost_usd) == ("transient", 503, 0)


async def test_what_failed_everywhere_in_the_tier_is_tried_again(lab: Lab):
    lab.script(a=[refuses(503), SURE], b=[refuses(503)])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "failed"), (SMALL_B, "failed"), (SMALL_A, "accepted")]


async def test_a_tier_that_is_rate_limited_sends_the_job_back_to_wait_as_long_as_was_asked(lab: Lab):
    lab.script(a=[refuses(429, "retry-after: 30")], b=[refuses(429, "retry-after: 30")])
    job = await lab.claimed()
    assert await lab.carry(job) == "deferred"
    row = await lab.row(job)
    assert (row.state, row.token, row.released_at, row.finished_at) == ("queued", None, None, None)
    assert dt.timedelta(seconds=25) < row.run_at - row.now <= dt.timedelta(seconds=31)
    again = await lab.claim(job.id)
    assert [past.counts for past in again.past] == [False, False]


async def test_a_deferred_job_continues_after_its_wait_and_repeats_nothing(lab: Lab):
    lab.script(a=[UNSURE], c=[refuses(429, "retry-after: 30"), SURE])
    job = await lab.claimed()
    assert await lab.carry(job) == "deferred"
    lab.ahead_s = 31
    again = await lab.claim(job.id)
    assert await lab.carry(again) == "succeeded"
    assert [deployment for deployment, _ in await lab.outcomes(job)] == [SMALL_A, LARGE, LARGE]


async def test_a_deadline_during_a_call_expires_the_job_and_keeps_its_bill(lab: Lab):
    lab.script(a=[lab.silence])
    job = await lab.claimed()
    soon = msgspec.structs.replace(job, time_left_s=0.3)
    assert await lab.carry(soon) == "expired"
    row, (attempt,) = await lab.row(job), await lab.attempts(job)
    assert (row.state, row.error["kind"]) == ("expired", "deadline_passed")
    assert (attempt.outcome, attempt.cost_usd, attempt.cost_basis) == ("cancelled", None, "estimate")
    assert attempt.cost_bound_usd > 0


async def test_a_cancel_during_a_call_cuts_it_and_closes_its_attempt(lab: Lab):
    lab.script(a=[lab.silence])
    job = await lab.claimed()
    running = lab.carry(job)
    await lab.called(1)
    lab.parts.leases.stop([job.id], Stop.CANCELLED)
    assert await running == "cancelled"
    assert (await lab.row(job)).state == "cancelled"
    assert await lab.outcomes(job) == [(SMALL_A, "cancelled")]


async def test_a_shutdown_during_a_call_gives_the_job_back_and_burns_no_attempt(lab: Lab):
    lab.script(a=[lab.silence])
    job = await lab.claimed()
    running = lab.carry(job)
    await lab.called(1)
    lab.parts.leases.stop_all(Stop.RELEASED)
    assert await running == "released"
    row = await lab.row(job)
    assert (row.state, row.deaths, row.token) == ("queued", 0, None)
    assert [past.counts for past in (await lab.claim(job.id)).past] == [False]


async def test_a_lease_lost_before_the_call_means_no_call(lab: Lab):
    job = await lab.claimed()
    await lab.execute("update jobs set token = gen_random_uuid()")
    before = await lab.row(job)
    assert await lab.carry(job) == "moved on"
    assert (lab.server.bodies, await lab.attempts(job)) == ([], [])
    after = await lab.row(job)
    assert (after.state, after.token) == ("running", before.token)


async def test_a_lease_lost_during_a_call_books_the_bill_and_leaves_the_job_alone(lab: Lab):
    is_rescued = asyncio.Event()

    async def late(server, writer):
        await is_rescued.wait()
        await SURE(server, writer)

    lab.script(a=[late])
    job = await lab.claimed()
    running = lab.carry(job)
    await lab.called(1)
    await lab.execute("update jobs set lease_until = now() - interval '1 s'")
    async with lab.database.statement() as connection:
        assert await sweep.rescue(connection, 3) == [(job.id, "queued")]
    is_rescued.set()
    assert await running == "moved on"
    (attempt,) = await lab.attempts(job)
    assert (attempt.outcome, attempt.cost_usd) == ("orphaned", COST_USD)
    row = await lab.row(job)
    assert (row.state, row.answer_attempt, row.deaths) == ("queued", None, 1)


async def test_a_lease_lost_between_two_steps_stops_the_walk(lab: Lab):
    async def steals_and_is_unsure(server, writer):
        await lab.execute("update jobs set token = gen_random_uuid()")
        await UNSURE(server, writer)

    lab.script(a=[steals_and_is_unsure])
    job = await lab.claimed()
    assert await lab.carry(job) == "moved on"
    assert await lab.outcomes(job) == [(SMALL_A, "orphaned")]
    assert len(lab.server.bodies) == 1


async def test_when_nothing_better_can_be_had_the_best_answer_is_handed_out(lab: Lab):
    lab.script(a=[UNSURE], c=[refuses(400)])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    row, attempts = await lab.row(job), await lab.attempts(job)
    assert row.answer_attempt == attempts[0].id
    assert any(note.startswith("best effort: ") for note in row.receipt["notes"])


async def test_a_request_that_every_provider_would_refuse_fails_after_one_call(lab: Lab):
    lab.script(a=[refuses(400)])
    job = await lab.claimed()
    assert await lab.carry(job) == "failed"
    row = await lab.row(job)
    assert (row.state, row.error["kind"], row.error["status"]) == ("failed", "bad_request", 400)
    assert len(lab.server.bodies) == 1


def with_accent(lab: Lab, **accents: str) -> None:
    """From here on these providers have an accent."""
    known = lab.settings.providers
    spoken = {name: msgspec.structs.replace(known[name], accent=accent) for name, accent in accents.items()}
    settings = msgspec.structs.replace(lab.settings, providers={**known, **spoken})
    lab.parts.settings = settings
    lab.parts.plan = planner(settings, catalog_of(settings, NOTHING_SHIPPED))


async def test_an_unknown_refusal_is_shown_to_one_candidate_of_another_accent(lab: Lab):
    with_accent(lab, b="groq")
    lab.script(a=[refuses(400)], b=[SURE])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "failed"), (SMALL_B, "accepted")]


async def test_a_second_refusal_ends_the_job_after_two_calls(lab: Lab):
    with_accent(lab, b="groq", c="together")
    lab.script(a=[refuses(400)], b=[refuses(422)])
    job = await lab.claimed()
    assert await lab.carry(job) == "failed"
    row = await lab.row(job)
    assert (row.error["kind"], row.error["status"]) == ("bad_request", 422)
    assert row.error["message"].endswith(f"{SMALL_A} had refused it, too.")
    assert len(lab.server.bodies) == 2


async def test_a_limit_below_the_request_itself_bars_at_once_and_leaves_the_key_open(lab: Lab):
    tight = refuses(429, "retry-after: 1", "x-ratelimit-limit-tokens: 5")
    lab.script(a=[tight, SURE], b=[tight], c=[tight])
    long = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    job = await lab.claimed(request_raw=msgspec.json.encode(long))
    assert await lab.carry(job) == "failed"
    assert (await lab.row(job)).error["kind"] == "over_limit"
    assert len(lab.server.bodies) == 3, "each was asked once"
    assert await lab.carry(await lab.claimed()) == "succeeded", "the keys work on for other jobs"


async def test_what_was_adapted_is_stored_with_the_job(lab: Lab):
    lab.script(a=[SURE])
    job = await lab.claimed()
    await lab.carry(job)
    (sent,) = [msgspec.json.decode(body) for body in lab.server.bodies]
    assert (sent["model"], sent["logprobs"]) == ("small", True)
    assert [(one["field"], one["action"]) for one in (await lab.row(job)).adaptations] == [("logprobs", "added")]


@pytest.mark.parametrize(("most_ms", "kept"), [(60_000, True), (1, False), (None, None)])
async def test_the_latency_intent_is_reported_as_kept_broken_or_absent(
    lab: Lab, most_ms: int | None, kept: bool | None
):
    async def slow(server, writer):
        await asyncio.sleep(0.02)
        await SURE(server, writer)

    lab.script(a=[slow])
    job = await lab.claimed(intent=Intent(max_latency_ms=most_ms))
    assert await lab.carry(job) == "succeeded"
    assert (await lab.row(job)).intent_kept is kept


async def test_a_call_that_does_not_fit_the_budget_is_not_made(lab: Lab):
    lab.script(a=[UNSURE])
    # One call's bound fits; what the first cost and the bound of a second do not.
    job = await lab.claimed(intent=Intent(max_cost_usd=Decimal("0.00025")))
    assert await lab.carry(job) == "succeeded"
    (attempt,) = await lab.attempts(job)
    assert (await lab.row(job)).answer_attempt == attempt.id
    assert attempt.cost_bound_usd + COST_USD > Decimal("0.00025")


async def test_an_interactive_job_walks_the_same_way(lab: Lab):
    lab.script(a=[SURE])
    job = await lab.claimed(lane=Lane.INTERACTIVE)
    assert await lab.carry(job) == "succeeded"


async def test_a_cancel_that_comes_before_the_call_ends_the_job_at_once(lab: Lab):
    job = await lab.claimed()
    await lab.execute("update jobs set cancel_requested_at = now()")
    assert await lab.carry(job) == "moved on"
    assert (lab.server.bodies, await lab.attempts(job)) == ([], [])
    row = await lab.row(job)
    assert (row.state, row.deaths) == ("cancelled", 0)


async def test_an_answer_that_was_paid_for_is_booked_when_postgres_comes_back(lab: Lab):
    away = 2

    async def flaky(connection, moves):
        nonlocal away
        away -= 1
        if away >= 0:
            raise StoreUnavailable("away")
        return await settle(connection, moves)

    lab.parts.moves = Flush(lab.database, flaky, lambda row: row.token, window_s=0, patience_s=())
    lab.script(a=[answers("yes")], b=[answers("yes")])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert len(lab.server.bodies) == 1
    assert [outcome for _, outcome in await lab.outcomes(job)] == ["accepted"]
