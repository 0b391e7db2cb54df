"""What rate limits and the gate lead to, one situation a test."""

from jobs.failures import FailureKind
from jobs.policy import Intent
from jobs.states import Outcome
from routing.limits import Refusal
from routing.verdict import Accept, Began, Defer, Escalate, FailOver, Held, Retry, Start, judge, turned_away
from tests.routing.verdicts import EAST, HALF, NORTH, WEST, broke, failure, held, kind_of, low, ruling
from tests.routing.yards import ALONE, ONE_TIER, SMALL_EAST, SMALL_WEST, TWO_TIERS, past, plan_of, rejected

# Rate limits


def test_a_rate_limit_tries_the_rest_of_the_tier_once_and_then_waits():
    limit = FailureKind.RATE_LIMITED
    assert ruling(broke(EAST, limit)) == FailOver(WEST)
    assert ruling(broke(WEST, limit, 7.0), past(SMALL_EAST, failure=limit)) == Defer(7.0, "rate_limit")
    assert ruling(broke(WEST, limit), past(SMALL_EAST, failure=limit)) == Defer(1.0, "rate_limit")
    assert ruling(broke(EAST, limit), policy=ALONE) == Defer(1.0, "rate_limit")


def test_a_rate_limited_neighbour_that_failed_before_is_asked_after_a_wait():
    assert ruling(broke(EAST, FailureKind.RATE_LIMITED), past(SMALL_WEST)) == Retry(WEST, 0.25)


def test_a_429_is_a_refusal_for_the_rest_of_the_run():
    assert turned_away(failure(FailureKind.RATE_LIMITED, 9.0)) == Refusal(reason="rate_limit", delay_s=9.0)
    assert turned_away(failure(FailureKind.RATE_LIMITED)) == Refusal(reason="rate_limit", delay_s=1.0)


# The gate


def test_held_at_the_gate_the_job_goes_to_another_of_the_tier():
    assert ruling(held(east="concurrency")) == FailOver(WEST)
    assert ruling(held(east="breaker")) == FailOver(WEST)


def test_a_full_tier_waits_for_the_soonest_and_is_not_passed_by():
    assert ruling(held(east="concurrency", west="rate_limit")) == Defer(2.0, "rate_limit")
    assert ruling(held(east="breaker", west="rate_limit")) == Defer(2.0, "rate_limit")


def test_a_sick_tier_is_passed_by():
    assert ruling(held(east="breaker", west="key_disabled")) == Escalate(NORTH)


def test_when_every_tier_is_sick_or_full_the_job_waits_for_the_soonest():
    assert ruling(held(east="breaker", west="key_disabled", north="breaker")) == Defer(2.0, "key_disabled")
    assert ruling(held(east="breaker", west="breaker", north="concurrency")) == Defer(2.0, "breaker")


ALL_SICK = held(east="breaker", west="breaker", north="breaker")


def test_when_only_health_is_in_the_way_the_intent_decides():
    assert kind_of(ruling(ALL_SICK, intent=Intent(on_infeasible="fail"))) is FailureKind.INTENT_INFEASIBLE
    effort = Intent(on_infeasible="best_effort")
    answer = rejected()
    verdict = ruling(held(north="breaker"), answer, intent=effort)
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answer.id
    assert ruling(ALL_SICK, intent=effort) == Defer(2.0, "breaker"), "there is nothing to hand out yet"
    full = held(east="rate_limit", west="rate_limit")
    assert ruling(full, intent=Intent(on_infeasible="fail")) == Defer(2.0, "rate_limit"), "load is not health"


def test_a_step_that_failed_before_is_not_reached_through_the_gate_without_its_wait():
    assert ruling(held(east="breaker"), past(SMALL_WEST)) == Retry(WEST, 0.25)


def test_a_step_that_rested_in_postgres_is_not_made_to_wait_again():
    unreachable = [past(name, Outcome.NOT_SENT, FailureKind.UNREACHABLE) for name in (SMALL_EAST, SMALL_WEST)] * 2
    assert ruling(Began(), *unreachable, policy=ONE_TIER) == Start(EAST)
    assert ruling(held(east="breaker"), *unreachable, policy=ONE_TIER) == FailOver(WEST)


def test_held_with_nothing_left_settles():
    assert kind_of(ruling(held(east="breaker"), past(SMALL_EAST), past(SMALL_EAST), policy=ALONE)) is (
        FailureKind.TRANSIENT
    )


def test_a_refusal_without_a_wait_cannot_become_a_busy_loop():
    event = Held({SMALL_EAST: Refusal(reason="concurrency", delay_s=0.0)})
    assert ruling(event, policy=ALONE) == Defer(0.05, "concurrency")


def test_two_tiers_of_models_behave_as_two_tiers_of_deployments():
    planned = plan_of(TWO_TIERS)
    first = judge(planned, (), Began(), HALF)
    assert first == Start(planned.steps[0])
    assert judge(planned, (), low(planned.steps[0]), HALF) == Escalate(planned.steps[2])


# Budgets


def test_a_tier_that_a_budget_has_no_room_for_is_not_passed_by_and_waits_for_the_soonest():
    assert ruling(held(east="budget")) == FailOver(WEST)
    assert ruling(held(east="budget", west="budget")) == Defer(2.0, "budget")
    assert ruling(held(east="breaker", west="budget")) == Defer(2.0, "budget")


def test_a_budgets_wait_may_be_as_long_as_its_period():
    refusals = {one: Refusal("budget", 86_000.0) for one in (SMALL_EAST, SMALL_WEST)}
    assert ruling(Held(refusals)) == Defer(86_000.0, "budget")
