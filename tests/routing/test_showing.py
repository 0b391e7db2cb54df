"""An answer may be shown while it comes only where every end of it would be taken."""

import itertools

import pytest

from jobs.job import PastAttempt
from jobs.policy import Policy
from routing.eligibility import Step
from routing.showing import may_be_shown
from routing.verdict import Accept
from tests.routing.verdicts import EAST, NORTH, PAIR, WEST, changed, low, ruling
from tests.routing.yards import SMALL_EAST, SMALL_WEST, plan_of, rejected

PLAIN = changed(PAIR, min_confidence=None)
ON_LENGTH = changed(PLAIN, escalate_on=frozenset({"length"}))
SURE_OR_FAIL = changed(PAIR, on_exhausted="fail")
UNKNOWN_WILL_DO = changed(PAIR, on_unknown_confidence="accept")
ONE_TIER = changed(PAIR, tiers=((SMALL_EAST, SMALL_WEST),))
POLICIES = {
    "plain": PLAIN,
    "on length": ON_LENGTH,
    "confidence": PAIR,
    "confidence or fail": SURE_OR_FAIL,
    "unknown will do": UNKNOWN_WILL_DO,
    "one tier": ONE_TIER,
}


@pytest.mark.parametrize(
    ("name", "step", "past", "shown"),
    [
        ("plain", EAST, (), True),
        ("plain", NORTH, (), True),
        ("on length", EAST, (), False),
        ("on length", NORTH, (), True),
        ("confidence", EAST, (), False),
        ("confidence", NORTH, (), True),
        ("confidence", NORTH, (rejected(),), True),
        ("confidence or fail", NORTH, (), False),
        ("unknown will do", EAST, (), False),
        ("one tier", EAST, (), True),
    ],
)
def test_what_may_be_rejected_is_not_shown(name: str, step: Step, past: tuple[PastAttempt, ...], shown: bool):
    assert may_be_shown(plan_of(POLICIES[name]), past, step) is shown


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("step", [EAST, WEST, NORTH], ids=["east", "west", "north"])
@pytest.mark.parametrize("past", [(), (rejected(),), (rejected(SMALL_WEST),)], ids=["fresh", "east", "west"])
def test_whatever_was_shown_is_taken(policy: Policy, step: Step, past: tuple[PastAttempt, ...]):
    ends = itertools.product(
        (None, 0.0, 0.3, 0.7, 1.0, float("nan")), ("stop", "length", "content_filter", "tool_calls")
    )
    if may_be_shown(plan_of(policy), past, step):
        for confidence, finish in ends:
            verdict = ruling(low(step, confidence, finish), *past, policy=policy)
            assert isinstance(verdict, Accept)
            assert verdict.attempt is None
