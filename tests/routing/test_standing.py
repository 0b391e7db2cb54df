"""What a job has behind it: tallies, bars, the bill, and the table of remedies."""

from decimal import Decimal

import msgspec
import pytest

from jobs.failures import FailureKind
from jobs.job import PastAttempt
from jobs.policy import Intent, Policy
from jobs.states import Outcome
from routing.catalog import Deployment, Model
from routing.plan import Yard
from routing.standing import REMEDIES, Course, stand
from tests.routing.yards import (
    CHEAP,
    LARGE,
    ONE_TIER,
    SMALL_EAST,
    SMALL_WEST,
    TWO_TIERS,
    past,
    plan_of,
    rejected,
    yard,
)

BUDGET = Intent(max_cost_usd=Decimal("0.001"))


def open_ids(
    *attempts: PastAttempt, policy: Policy = ONE_TIER, intent: Intent | None = None, on: Yard | None = None
) -> list[str]:
    return [step.id for step in stand(plan_of(policy, intent, on), attempts).open]


def test_every_kind_of_failure_has_a_remedy():
    assert set(REMEDIES) == set(FailureKind)


def test_kinds_that_end_the_job_are_those_of_the_job():
    ends = {kind for kind, remedy in REMEDIES.items() if remedy.course is Course.END}
    assert ends == {
        FailureKind.CANCELLED,
        FailureKind.DEADLINE_PASSED,
        FailureKind.WORKER_DEATHS,
    }


def test_a_fresh_job_has_everything_open():
    standing = stand(plan_of(), ())
    assert standing.open == standing.fresh == plan_of().steps
    assert (standing.floor, standing.last, standing.best_answer) == (0, None, None)


def test_an_answer_that_was_not_good_enough_closes_its_tier():
    standing = stand(plan_of(), (rejected(),))
    assert [step.id for step in standing.open] == [LARGE]
    assert standing.best_answer is standing.past[0]
    assert standing.last is standing.past[0]


def test_a_deployment_is_left_alone_after_its_attempts():
    assert open_ids(past(SMALL_EAST), past(SMALL_EAST)) == [SMALL_WEST]


@pytest.mark.parametrize(
    "attempt",
    [
        past(SMALL_EAST, Outcome.FAILED, FailureKind.RATE_LIMITED),
        past(SMALL_EAST, Outcome.NOT_SENT, FailureKind.UNREACHABLE),
        past(SMALL_EAST, Outcome.CANCELLED),
    ],
)
def test_waiting_a_missing_connection_and_our_own_cut_burn_no_attempt(attempt):
    standing = stand(plan_of(ONE_TIER), (attempt,) * 20)
    assert {step.id for step in standing.open} == {SMALL_EAST, SMALL_WEST}
    assert standing.last is None


def test_a_deployment_that_cannot_be_reached_should_rest_though_it_stays_open():
    twice = (past(SMALL_EAST, Outcome.NOT_SENT, FailureKind.UNREACHABLE),) * 2
    standing = stand(plan_of(ONE_TIER), twice)
    assert [step.id for step in standing.fresh] == [SMALL_WEST]
    assert stand(plan_of(ONE_TIER), twice * 4).fresh == ()


def test_a_call_given_back_before_it_was_sent_is_no_trouble():
    assert stand(plan_of(ONE_TIER), (past(SMALL_EAST, Outcome.NOT_SENT),) * 20).fresh == plan_of(ONE_TIER).steps


def test_no_call_is_made_beyond_max_attempts():
    policy = msgspec.structs.replace(ONE_TIER, max_attempts=2)
    assert open_ids(past(SMALL_EAST), policy=policy) != []
    assert open_ids(past(SMALL_EAST), past(SMALL_WEST), policy=policy) == []


@pytest.mark.parametrize("kind", [FailureKind.BAD_KEY, FailureKind.NO_CREDIT, FailureKind.MODEL_NOT_FOUND])
def test_a_deployment_without_key_credit_or_model_is_never_asked_again(kind):
    assert open_ids(past(SMALL_EAST, failure=kind)) == [SMALL_WEST]


def test_one_empty_answer_bars_nobody_and_two_bar_all_that_gave_one():
    empty = past(SMALL_EAST, failure=FailureKind.EMPTY_ANSWER)
    assert len(open_ids(empty)) == 2
    assert open_ids(empty, past(SMALL_WEST, failure=FailureKind.EMPTY_ANSWER)) == []


@pytest.mark.parametrize(("on_unknown", "left"), [("skip", [SMALL_WEST]), ("repeat", [SMALL_EAST, SMALL_WEST])])
@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.ORPHANED])
def test_a_call_cut_by_a_crash_bars_its_deployment_only_under_skip(on_unknown, left, outcome):
    policy = msgspec.structs.replace(ONE_TIER, on_unknown=on_unknown)
    assert open_ids(past(SMALL_EAST, outcome), policy=policy) == left


WINDOWS = {"m/8k": 8_000, "m/8k-too": 8_000, "m/32k": 32_000, "m/unknown": None, "m/unknown-too": None}
LADDER = Policy(name="ladder", tiers=(tuple(WINDOWS),), choose="ordered", attempts_per_deployment=2, max_attempts=8)
ON_LADDER = yard(
    [Model(name, context_tokens=window) for name, window in WINDOWS.items()],
    [Deployment(name, provider, "up", CHEAP) for name in WINDOWS for provider in ("p", "q")],
)


@pytest.mark.parametrize(
    ("full", "left"),
    [
        ("m/8k@p", {"m/32k"}),
        ("m/32k@p", set()),
        ("m/unknown@p", set(WINDOWS) - {"m/unknown"}),
        ("m/gone@p", set(WINDOWS)),
    ],
)
def test_after_a_prompt_too_long_only_windows_known_to_be_larger_are_open(full, left):
    attempt = past(full, failure=FailureKind.CONTEXT_TOO_LONG, tier=0)
    assert {name.partition("@")[0] for name in open_ids(attempt, policy=LADDER, on=ON_LADDER)} == left


@pytest.mark.parametrize(
    ("attempt", "spent"),
    [
        (past(SMALL_EAST, cost_usd=Decimal("0.0004"), cost_bound_usd=Decimal(1)), "0.0004"),
        (past(SMALL_EAST, cost_bound_usd=Decimal("0.0009")), "0.0009"),
        (past(SMALL_EAST, Outcome.UNKNOWN, cost_bound_usd=Decimal("0.0009")), "0.0009"),
        (past(SMALL_EAST, Outcome.CANCELLED, cost_bound_usd=Decimal("0.0009")), "0.0009"),
        (past(SMALL_EAST, Outcome.ORPHANED, cost_usd=Decimal("0.0002")), "0.0002"),
        (past(SMALL_EAST, Outcome.NOT_SENT, cost_bound_usd=Decimal("0.0009")), "0"),
        (past(SMALL_EAST, failure=FailureKind.OVERLOADED, cost_bound_usd=Decimal("0.0009")), "0.0009"),
        (past(SMALL_EAST, failure=FailureKind.BAD_KEY, cost_usd=Decimal("0.0001")), "0.0001"),
    ],
)
def test_the_budget_takes_an_unknown_cost_for_its_bound(attempt, spent):
    assert stand(plan_of(), (attempt,)).spent_usd == Decimal(spent)


def test_a_step_that_does_not_fit_into_what_is_left_is_closed():
    spent = past(SMALL_EAST, cost_usd=Decimal("0.0008"))
    assert LARGE in open_ids(policy=TWO_TIERS, intent=BUDGET)
    assert LARGE not in open_ids(spent, policy=TWO_TIERS, intent=BUDGET)
    assert SMALL_WEST in open_ids(spent, policy=TWO_TIERS, intent=BUDGET)
    assert LARGE in open_ids(spent, policy=TWO_TIERS)
