"""What begins, answers and failures lead to, one situation a test."""

from decimal import Decimal

import pytest

from jobs.failures import Failure, FailureKind
from jobs.policy import Intent
from jobs.states import Outcome
from routing.standing import REMEDIES, Course
from routing.verdict import Accept, Answered, Began, Broke, Defer, Escalate, FailOver, GiveUp, Retry, Start, judge
from tests.routing.verdicts import (
    EAST,
    HALF,
    NORTH,
    PAIR,
    WEST,
    broke,
    changed,
    failure,
    given_up,
    kind_of,
    low,
    ruling,
)
from tests.routing.yards import ALONE, LARGE, ONE_TIER, SMALL_EAST, SMALL_WEST, past, plan_of, rejected, yard

TIGHT = Intent(max_cost_usd=Decimal("0.0004"))
"""One small call and no more than one large one."""


# A run begins


def test_a_refusal_that_corrected_a_fact_is_asked_once_more_without_the_field():
    taught = Broke(EAST, Failure(FailureKind.FIELD_REFUSED, "No"))
    before = past(SMALL_EAST, failure=FailureKind.FIELD_REFUSED)
    assert ruling(taught) == Retry(EAST, 0.0)
    assert ruling(taught, before) != Retry(EAST, 0.0)
    assert ruling(Broke(EAST, Failure(FailureKind.BAD_REQUEST, "No"))) != Retry(EAST, 0.0)
    # Deferred by a limit meanwhile, it is still asked: the refusal was of the field and not of the request.
    waited = past(SMALL_EAST, failure=FailureKind.RATE_LIMITED)
    assert ruling(Began(), before, waited, policy=ALONE) == Start(EAST)


def test_a_fresh_job_starts_with_the_first_step():
    assert ruling(Began()) == Start(EAST)


def test_after_a_rejected_answer_the_job_goes_on_with_the_next_tier():
    assert ruling(Began(), rejected()) == Start(NORTH)


def test_after_a_failure_the_least_tried_of_the_tier_goes_first():
    assert ruling(Began(), past(SMALL_EAST)) == Start(WEST)
    assert ruling(Began(), past(SMALL_EAST), past(SMALL_WEST)) == Start(EAST)


def test_waiting_for_a_limit_changes_nothing():
    waited = past(SMALL_EAST, failure=FailureKind.RATE_LIMITED)
    assert ruling(Began(), *[waited] * 50) == Start(EAST)


def test_a_call_cut_by_a_crash_is_repeated_skipped_or_fatal_as_the_policy_says():
    cut = past(SMALL_EAST, Outcome.UNKNOWN)
    assert ruling(Began(), cut) == Start(EAST)
    assert ruling(Began(), cut, policy=changed(PAIR, on_unknown="skip")) == Start(WEST)
    assert kind_of(ruling(Began(), cut, policy=changed(PAIR, on_unknown="fail"))) is FailureKind.UNKNOWN_ATTEMPT


def test_without_a_cut_call_on_unknown_fail_changes_nothing():
    assert ruling(Began(), past(SMALL_EAST), policy=changed(PAIR, on_unknown="fail")) == Start(WEST)


def test_an_earlier_answer_that_the_policy_takes_by_now_is_accepted():
    answer = rejected(confidence=0.6)
    verdict = ruling(Began(), answer, policy=changed(PAIR, min_confidence=0.5))
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answer.id


def test_of_several_such_answers_the_latest_is_accepted():
    answers = rejected(confidence=0.6), rejected(LARGE, confidence=0.65)
    verdict = ruling(Began(), *answers, policy=changed(PAIR, min_confidence=0.5))
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answers[1].id


def test_with_nothing_left_the_latest_answer_is_handed_out_as_best_effort():
    cheap, dear = rejected(confidence=0.6), rejected(LARGE, confidence=None)
    verdict = ruling(Began(), cheap, dear)
    assert isinstance(verdict, Accept)
    assert verdict.attempt == dear.id
    assert "confidence unknown" in str(verdict.note)


@pytest.mark.parametrize(
    ("attempt", "kind"),
    [
        (rejected(LARGE), FailureKind.LOW_CONFIDENCE),
        (past(LARGE, failure=FailureKind.TIMEOUT), FailureKind.TIMEOUT),
        (past(LARGE, Outcome.UNKNOWN), FailureKind.UNKNOWN_ATTEMPT),
    ],
)
def test_with_nothing_left_a_job_fails_with_its_last_failure(attempt, kind):
    policy = changed(PAIR, on_exhausted="fail", max_attempts=1)
    assert kind_of(ruling(Began(), attempt, policy=policy)) is kind


def test_a_plan_without_steps_fails_with_its_complaint():
    planned = plan_of(ALONE, on=yard(off="east"))
    verdict = judge(planned, (), Began(), HALF)
    assert verdict == GiveUp(Failure(FailureKind.INTENT_INFEASIBLE, str(planned.complaint)))


def test_a_policy_that_allows_no_attempt_fails_as_infeasible():
    assert kind_of(ruling(Began(), policy=changed(ALONE, max_attempts=0))) is FailureKind.INTENT_INFEASIBLE


# Answers


def test_a_good_answer_is_accepted():
    assert ruling(low(EAST, 0.7)) == Accept()


@pytest.mark.parametrize(
    ("answer", "policy"),
    [
        (low(EAST, 0.69), PAIR),
        (low(EAST, None), PAIR),
        (low(EAST, 0.9, "length"), changed(PAIR, escalate_on=frozenset({"length"}))),
    ],
)
def test_an_answer_not_good_enough_escalates_past_the_rest_of_its_tier(answer, policy):
    assert ruling(answer, policy=policy) == Escalate(NORTH)


def test_an_unknown_confidence_is_accepted_where_the_policy_says_so():
    assert ruling(low(EAST, None), policy=changed(PAIR, on_unknown_confidence="accept")) == Accept()


def test_in_the_last_tier_a_poor_answer_is_accepted_as_best_effort_with_a_note():
    verdict = ruling(low(NORTH, 0.3), rejected(confidence=0.6))
    assert isinstance(verdict, Accept)
    assert verdict.attempt is None
    assert "0.300" in str(verdict.note)


def test_a_single_tier_with_min_confidence_and_best_effort_accepts():
    verdict = ruling(low(EAST), policy=changed(ALONE, min_confidence=0.7))
    assert isinstance(verdict, Accept)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (low(NORTH, 0.3), "0.3 is below 0.7"),
        (low(NORTH, None), "unknown"),
        (low(NORTH, 0.9, "length"), "ended with length"),
    ],
)
def test_in_the_last_tier_a_strict_policy_fails_with_low_confidence_and_says_why(answer, words):
    policy = changed(PAIR, on_exhausted="fail", escalate_on=frozenset({"length"}))
    verdict = ruling(answer, rejected(), policy=policy)
    assert kind_of(verdict) is FailureKind.LOW_CONFIDENCE
    assert words in given_up(verdict).message


def test_an_answer_that_exhausts_the_attempts_is_the_last():
    assert isinstance(ruling(low(EAST), policy=changed(PAIR, max_attempts=1)), Accept)


# Money


def test_a_next_tier_that_does_not_fit_into_the_budget_is_skipped():
    assert ruling(low(EAST), intent=TIGHT) == Escalate(NORTH)
    dear = Answered(EAST, 0.2, "stop", cost_usd=Decimal("0.00039"))
    assert isinstance(ruling(dear, intent=TIGHT), Accept)
    strict = ruling(dear, policy=changed(PAIR, on_exhausted="fail"), intent=TIGHT)
    assert kind_of(strict) is FailureKind.OVER_BUDGET
    assert "max_cost_usd 0.0004" in given_up(strict).message


def test_a_failed_call_of_unknown_cost_counts_with_its_bound():
    assert EAST.bound_usd is not None
    once = Intent(max_cost_usd=EAST.bound_usd * Decimal("1.5"))
    assert kind_of(ruling(broke(EAST), policy=ONE_TIER, intent=once)) is FailureKind.OVER_BUDGET
    # An error inside a 200 says nothing of its bill.
    assert kind_of(ruling(broke(EAST, FailureKind.OVERLOADED), policy=ONE_TIER, intent=once)) is FailureKind.OVER_BUDGET
    known = Broke(EAST, failure(), cost_usd=Decimal(0))
    assert isinstance(ruling(known, policy=ONE_TIER, intent=once), FailOver)


# Failures


TROUBLE = [
    FailureKind.TRANSIENT,
    FailureKind.TIMEOUT,
    FailureKind.TRUNCATED,
    FailureKind.MALFORMED,
    FailureKind.OVERLOADED,
    FailureKind.UNREACHABLE,
]


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_fails_over_then_retries_then_escalates_then_gives_up(kind):
    outcome = Outcome.NOT_SENT if kind is FailureKind.UNREACHABLE else Outcome.FAILED
    east, west, north = (past(name, outcome, kind) for name in (SMALL_EAST, SMALL_WEST, LARGE))
    assert ruling(broke(EAST, kind)) == FailOver(WEST)
    assert ruling(broke(WEST, kind), east) == Retry(EAST, 0.25)
    assert ruling(broke(EAST, kind), east, west) == Retry(WEST, 0.25)
    assert ruling(broke(WEST, kind), east, west, east) == Escalate(NORTH)
    assert isinstance(ruling(broke(NORTH, kind), east, west, east, west), Retry)
    end = ruling(broke(NORTH, kind), east, west, east, west, north)
    if kind is FailureKind.UNREACHABLE:
        assert end == Defer(0.5, "backoff")
    else:
        assert end == GiveUp(failure(kind))


def test_an_overloaded_provider_is_given_longer():
    assert ruling(broke(EAST, FailureKind.OVERLOADED), policy=ALONE) == Retry(EAST, 1.0)


def test_a_wait_of_more_than_two_seconds_happens_in_postgres():
    patient = changed(ALONE, attempts_per_deployment=8)
    before = [past(SMALL_EAST)] * 2
    assert ruling(broke(EAST), *before, policy=patient, chance=1.0) == Retry(EAST, 2.0)
    assert ruling(broke(EAST), *before, past(SMALL_EAST), policy=patient, chance=1.0) == Defer(4.0, "backoff")
    assert ruling(broke(EAST), *before, past(SMALL_EAST), policy=patient, chance=0.0) == Defer(0.05, "backoff")


def test_a_provider_that_asks_for_time_gets_it():
    assert ruling(broke(EAST, after_s=1.5), policy=ALONE) == Retry(EAST, 1.5)
    assert ruling(broke(EAST, after_s=30.0), policy=ALONE) == Defer(30.0, "backoff")
    assert ruling(broke(EAST, after_s=1e9), policy=ALONE) == Defer(3600.0, "backoff")
    assert ruling(broke(EAST, after_s=30.0)) == FailOver(WEST), "the other deployment did not ask"


def test_among_equals_a_retry_goes_to_another_than_the_one_that_failed_just_now():
    patient = changed(PAIR, attempts_per_deployment=3)
    tried = [past(SMALL_EAST), past(SMALL_WEST)]
    assert ruling(broke(EAST, after_s=30.0), *tried, past(SMALL_WEST), policy=patient) == Retry(WEST, 0.5)


@pytest.mark.parametrize("kind", [FailureKind.BAD_KEY, FailureKind.NO_CREDIT, FailureKind.MODEL_NOT_FOUND])
def test_a_deployment_without_key_credit_or_model_is_left_for_good(kind):
    assert ruling(broke(EAST, kind)) == FailOver(WEST)
    assert ruling(broke(WEST, kind), past(SMALL_EAST, failure=kind)) == Escalate(NORTH)
    assert ruling(broke(EAST, kind), policy=ALONE) == GiveUp(failure(kind))


def test_a_bad_request_gives_up_where_no_other_maker_or_wire_is_left():
    assert ruling(broke(EAST, FailureKind.BAD_REQUEST), policy=ONE_TIER) == GiveUp(failure(FailureKind.BAD_REQUEST))


def test_a_bad_request_to_a_higher_tier_leaves_the_lower_ones_answer():
    answer = rejected()
    verdict = ruling(broke(NORTH, FailureKind.BAD_REQUEST), answer)
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answer.id
    strict = ruling(broke(NORTH, FailureKind.BAD_REQUEST), answer, policy=changed(PAIR, on_exhausted="fail"))
    assert kind_of(strict) is FailureKind.BAD_REQUEST


def test_a_prompt_too_long_goes_to_a_larger_window_or_nowhere():
    assert ruling(broke(EAST, FailureKind.CONTEXT_TOO_LONG)) == Escalate(NORTH)
    assert kind_of(ruling(broke(NORTH, FailureKind.CONTEXT_TOO_LONG))) is FailureKind.CONTEXT_TOO_LONG


def test_an_empty_answer_is_asked_for_once_more_then_elsewhere_then_the_job_fails():
    empty = Answered(EAST, None, "stop", is_empty=True)
    was_empty = past(SMALL_EAST, failure=FailureKind.EMPTY_ANSWER)
    assert ruling(empty, policy=ONE_TIER) == Retry(EAST, 0.0)
    assert ruling(empty, was_empty, policy=ONE_TIER) == FailOver(WEST)
    west = Answered(WEST, None, "stop", is_empty=True)
    assert kind_of(ruling(west, was_empty, was_empty, policy=ONE_TIER)) is FailureKind.EMPTY_ANSWER


def test_an_empty_answer_is_not_asked_for_again_where_one_attempt_is_all():
    empty = Answered(EAST, None, "stop", is_empty=True)
    assert ruling(empty, policy=changed(ONE_TIER, attempts_per_deployment=1)) == FailOver(WEST)


def test_an_answer_that_breaks_its_schema_is_asked_for_once_more_then_elsewhere_then_the_job_fails():
    kind = FailureKind.INVALID_ANSWER
    flawed = Answered(EAST, None, "stop", flaw=failure(kind))
    was_flawed = past(SMALL_EAST, failure=kind)
    assert ruling(flawed, policy=ONE_TIER) == Retry(EAST, 0.0)
    assert ruling(flawed, was_flawed, policy=ONE_TIER) == FailOver(WEST)
    assert ruling(flawed, was_flawed, past(SMALL_WEST, failure=kind)) == Escalate(NORTH)
    west = Answered(WEST, None, "stop", flaw=failure(kind))
    assert ruling(west, was_flawed, was_flawed, policy=ONE_TIER) == GiveUp(failure(kind))


@pytest.mark.parametrize("kind", [kind for kind, remedy in REMEDIES.items() if remedy.course is Course.END])
def test_what_ends_the_job_ends_it_whatever_was_answered_before(kind):
    assert ruling(broke(NORTH, kind), rejected()) == GiveUp(failure(kind))


def test_with_every_tier_broken_the_rejected_answer_is_handed_out():
    answer = rejected()
    verdict = ruling(broke(NORTH), answer, past(LARGE))
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answer.id


def test_the_last_attempt_ends_in_the_last_failure():
    verdict = ruling(broke(EAST, FailureKind.TIMEOUT), policy=changed(PAIR, max_attempts=1))
    assert verdict == GiveUp(failure(FailureKind.TIMEOUT))
