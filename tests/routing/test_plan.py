"""Planning: names, order, reasons for leaving out, money, and the receipt."""

import uuid
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.failures import FailureKind
from jobs.policy import Intent, Policy, Requirements
from routing.catalog import Catalog, Deployment, Model
from routing.eligibility import again
from routing.learn.fits import NOTHING_LEARNT, fit
from routing.learn.sums import Observation, add, nothing
from routing.plan import UnknownName, Yard, feasible, plan, policy_for, rendezvous
from tests.routing.yards import (
    ALONE,
    DEAR,
    DEPLOYMENTS,
    JOB,
    LARGE,
    MODELS,
    PLACES,
    SMALL,
    SMALL_EAST,
    SMALL_WEST,
    TWO_TIERS,
    UNHURRIED,
    ids,
    plan_of,
    reasons,
    request,
    yard,
)

AUTO = Policy(name="auto", tiers=(("openai/large",),))
POLICIES = {"auto": AUTO, "support": TWO_TIERS}
JOBS = [uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128) for number in range(1, 601)]


def resolve(model: str, name: str | None = None) -> Policy:
    found = policy_for(model, name, POLICIES, yard().catalog)
    assert isinstance(found, Policy)
    return found


def refuse(model: str, name: str | None = None) -> UnknownName:
    found = policy_for(model, name, POLICIES, yard().catalog)
    assert isinstance(found, UnknownName)
    return found


# Names


def test_a_name_is_a_policy_auto_a_model_or_a_deployment():
    assert resolve("auto") is AUTO
    assert resolve("") is AUTO
    assert resolve("support") is TWO_TIERS
    assert resolve("qwen/small") == Policy(name="qwen/small", tiers=(("qwen/small",),))
    assert resolve(SMALL_WEST) == Policy(name=SMALL_WEST, tiers=((SMALL_WEST,),))


def test_the_policy_goes_before_the_requests_own_word():
    assert resolve("openai/large", "support") is TWO_TIERS


def test_the_name_of_an_implicit_policy_finds_it_again():
    first = resolve("qwen/small")
    assert resolve("auto", first.name) == first


def test_an_unknown_name_is_refused_with_the_nearest_known():
    refusal = refuse("qwen/smal")
    assert refusal.param == "request.model"
    assert "did you mean 'qwen/small'?" in refusal.message
    assert refusal.failure.kind is FailureKind.INTENT_INFEASIBLE
    assert refusal.failure.message == refusal.message
    assert refuse("auto", "suport").param == "policy"


def test_a_name_near_nothing_is_refused_with_where_to_look():
    assert "/v1/models" in refuse("z" * 5000).message
    assert len(refuse("z" * 5000).message) < 300


# Order


def test_steps_go_tier_by_tier():
    planned = plan_of()
    assert [step.tier for step in planned.steps] == [0, 0, 1]
    assert set(ids(planned)[:2]) == {SMALL_EAST, SMALL_WEST}


def test_cheapest_takes_the_cheaper_and_puts_unknown_prices_last():
    nameless = Deployment("qwen/small", "south", "small")
    policy = Policy(tiers=(("openai/large", "qwen/small@south", SMALL_EAST),), choose="cheapest")
    planned = plan_of(policy, on=yard(deployments=(*DEPLOYMENTS, nameless)))
    assert ids(planned) == [SMALL_EAST, LARGE, nameless.id]
    assert planned.receipt.binding == "price"
    assert planned.steps[2].expected_usd is None
    assert planned.steps[2].bound_usd is None


def test_ordered_goes_as_written():
    policy = Policy(tiers=((LARGE, SMALL_WEST, SMALL_EAST),), choose="ordered")
    planned = plan_of(policy)
    assert ids(planned) == [LARGE, SMALL_WEST, SMALL_EAST]
    assert planned.receipt.binding == "order"


@pytest.mark.parametrize("choose", ["fastest", "best"])
def test_what_is_not_measured_yet_goes_as_written_and_says_so(choose):
    policy = Policy(tiers=((LARGE, SMALL_WEST),), choose=choose)
    planned = plan_of(policy)
    assert ids(planned) == [LARGE, SMALL_WEST]
    assert any("no measurements yet" in note for note in planned.receipt.notes)


def test_a_wish_for_speed_is_noted_as_not_measured():
    assert any("max_latency_ms" in note for note in plan_of(intent=Intent(max_latency_ms=800)).receipt.notes)
    assert plan_of().receipt.notes == ()


@pytest.mark.parametrize(
    ("policy", "share"),
    [
        (Policy(tiers=(("qwen/small",),), choose="cheapest"), 1 / 2),
        (Policy(tiers=(("qwen/small",),), choose="ordered"), 1 / 2),
        (Policy(tiers=(("qwen/small", "openai/large"),), choose="balanced"), 1 / 3),
    ],
)
def test_equal_candidates_share_the_jobs_evenly(policy, share):
    on = yard()
    firsts = Counter(ids(plan_of(policy, on=on, job=job))[0] for job in JOBS)
    for count in firsts.values():
        assert count / len(JOBS) == pytest.approx(share, abs=0.07)
    assert sum(firsts.values()) == len(JOBS)
    assert len(firsts) == round(1 / share)
    assert plan_of(policy, on=on).receipt.binding in {"balance", "order"}


def test_a_job_meets_the_same_order_at_each_claim():
    policy = Policy(tiers=(("qwen/small", "openai/large"),), choose="balanced")
    for job in JOBS[:50]:
        assert plan_of(policy, job=job) == plan_of(policy, job=job)


def test_when_a_deployment_goes_only_its_own_jobs_move():
    policy = Policy(tiers=(("qwen/small", "openai/large"),), choose="balanced")
    for job in JOBS[:100]:
        everyone = ids(plan_of(policy, job=job))
        without = ids(plan_of(policy, on=yard(off="west"), job=job))
        assert without == [name for name in everyone if name != SMALL_WEST]


def test_the_hash_is_fixed_for_ever_because_a_job_may_be_planned_by_two_versions():
    assert rendezvous(JOB.bytes, SMALL_EAST).hex() == "ab94e6258d11e055"


def test_a_deployment_named_twice_stands_once_at_its_first_place():
    policy = Policy(tiers=((SMALL_WEST, "qwen/small"), ("qwen/small", LARGE)), choose="ordered")
    planned = plan_of(policy)
    assert ids(planned) == [SMALL_WEST, SMALL_EAST, LARGE]
    assert [step.tier for step in planned.steps] == [0, 0, 1]


# Money


def test_the_expected_cost_takes_a_typical_answer_and_the_bound_the_longest():
    step = plan_of(ALONE, asked=request("x" * 4_000)).steps[0]
    assert (step.input_tokens, step.output_tokens_bound) == (885, 4_096)
    assert step.expected_usd == (Decimal("0.36") * 885 + Decimal("0.40") * 256) / 1_000_000
    assert step.bound_usd == (Decimal("0.36") * 2_008 + Decimal("0.40") * 4_096) / 1_000_000


def test_each_choice_is_billed_and_the_callers_cap_bounds_it():
    step = plan_of(ALONE, asked=request("x" * 4_000, n=3, max_tokens=10)).steps[0]
    assert step.output_tokens_bound == 30
    assert step.expected_usd == (Decimal("0.36") * 885 + Decimal("0.40") * 30) / 1_000_000


def test_a_model_that_says_nothing_about_its_output_is_bounded_all_the_same():
    on = yard((Model("m/quiet"),), (Deployment("m/quiet", "p", "q", DEAR),))
    assert plan_of(Policy(tiers=(("m/quiet",),)), on=on, asked=request("hi")).steps[0].output_tokens_bound == 4_096


def test_a_call_whose_bound_is_above_the_budget_is_not_planned():
    planned = plan_of(intent=Intent(max_cost_usd=Decimal("0.0001")))
    assert ids(planned) == ids(plan_of())[:2]
    assert reasons(planned) == {LARGE: "over_budget"}


def test_a_budget_cannot_be_kept_with_an_unknown_price():
    nameless = Deployment("qwen/small", "south", "small")
    on = yard(deployments=(nameless, *DEPLOYMENTS))
    assert reasons(plan_of(SMALL, Intent(max_cost_usd=Decimal(1)), on)) == {nameless.id: "unknown_price"}
    assert reasons(plan_of(SMALL, on=on)) == {}


@UNHURRIED
@given(
    st.sampled_from(["cheapest", "ordered", "balanced", "best"]),
    st.decimals(0, "0.01", places=6) | st.none(),
    st.sampled_from([None, "eu", "us"]),
    st.integers(1, 50_000),
    st.sets(st.sampled_from(["eu", "us", "nowhere", "north"])),
    st.uuids(),
)
def test_a_plan_holds_each_deployment_once_within_budget_and_accounts_for_all(
    choose, budget_usd, region, max_tokens, enabled, job
):
    catalog = Catalog.of(MODELS, (*PLACES, DEPLOYMENTS[2]))
    policy = Policy(name="any", tiers=(("qwen/small",), ("openai/large", "qwen/small@eu")), choose=choose)
    intent = Intent(max_cost_usd=budget_usd, require=Requirements(region=region))
    planned = plan(job, request(max_tokens=max_tokens), policy, intent, Yard(catalog, frozenset(enabled)))
    found = ids(planned)
    assert len(found) == len(set(found))
    assert set(found) | set(reasons(planned)) == set(catalog.deployments)
    assert [step.tier for step in planned.steps] == sorted(step.tier for step in planned.steps)
    for step in planned.steps:
        assert step.expected_usd is not None
        assert step.bound_usd is not None
        assert step.expected_usd <= step.bound_usd
        assert budget_usd is None or step.bound_usd <= budget_usd
        assert step.deployment.provider in enabled
    assert (feasible(planned) is None) is bool(planned.steps)


def test_a_deployment_of_which_something_was_learnt_is_estimated_by_it():
    asked = request("The weather in Bonn is fine today, and so is the wine in this town. " * 9)
    guess = plan_of(ALONE, asked=asked).steps[0]
    assert guess.guess is not None
    assert guess.guess.measure is not None
    sums = nothing()
    for _ in range(40):
        add(
            sums, Observation(guess.guess.measure.counts, 2 * guess.input_tokens, *NOTHING_LEARNT.expected(guess.guess))
        )
    known = msgspec.structs.replace(yard(), fits={guess.id: fit({guess.guess.measure.kind: sums})})
    planned = plan_of(ALONE, on=known, asked=asked)
    step = planned.steps[0]
    assert step.input_tokens == pytest.approx(2 * guess.input_tokens, rel=0.1)
    assert step.guess == guess.guess
    assert planned.receipt.input_tokens_estimate == step.input_tokens
    longer = again(step, asked, Intent())
    assert longer is not None
    assert longer.input_tokens == step.input_tokens


@pytest.mark.parametrize(
    ("intent", "kind"),
    [(Intent(), FailureKind.CONTEXT_TOO_LONG), (Intent(min_accuracy=0.9), FailureKind.INTENT_INFEASIBLE)],
)
def test_a_prompt_that_fits_no_window_is_told_from_what_is_infeasible(intent, kind):
    planned = plan_of(SMALL, intent, yard(off="west"), request("word " * 40_000))
    assert planned.failure is not None
    assert planned.failure.kind is kind
    assert plan_of().failure is None
