"""Confidence from log-probabilities, and when an answer is good enough."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer
from jobs.policy import Policy
from routing.cascade import Shortfall, confidence, good_enough, shortfall
from tests.routing.yards import UNHURRIED

SURE = Policy(min_confidence=0.7)


def answer(logprobs: tuple[float, ...] | None) -> Answer:
    return Answer(body=b"", text="card_arrival", finish_reason="stop", logprobs=logprobs)


def test_confidence_is_the_probability_of_these_very_tokens():
    assert confidence(answer((math.log(0.9), math.log(0.5)))) == pytest.approx(0.45)


@pytest.mark.parametrize("logprobs", [None, (), (math.nan, -0.1), (math.inf, -math.inf)])
def test_without_usable_logprobs_confidence_is_unknown_and_not_nought(logprobs):
    assert confidence(answer(logprobs)) is None


@pytest.mark.parametrize(("logprobs", "probability"), [((1e-9,), 1.0), ((-math.inf,), 0.0), ((-5000.0, -5000.0), 0.0)])
def test_rounding_above_one_and_underflow_are_harmless(logprobs, probability):
    assert confidence(answer(logprobs)) == probability


@UNHURRIED
@given(st.lists(st.floats(-100, 0), min_size=1))
def test_confidence_is_a_probability(logprobs):
    found = confidence(answer(tuple(logprobs)))
    assert found is not None
    assert 0 <= found <= 1


@pytest.mark.parametrize(
    ("policy", "sure", "finish", "lack"),
    [
        (Policy(), None, "stop", None),
        (Policy(), 0.0, "length", None),
        (SURE, 0.7, "stop", None),
        (SURE, 0.699, "stop", Shortfall.LOW_CONFIDENCE),
        (SURE, math.nan, "stop", Shortfall.LOW_CONFIDENCE),
        (SURE, None, "stop", Shortfall.UNKNOWN_CONFIDENCE),
        (Policy(min_confidence=0.7, on_unknown_confidence="accept"), None, "stop", None),
        (Policy(min_confidence=0.0), 0.0, "stop", None),
        (Policy(escalate_on=frozenset({"length"})), None, "length", Shortfall.FINISH_REASON),
        (Policy(escalate_on=frozenset({"length"})), None, "content_filter", None),
        (Policy(min_confidence=0.7, escalate_on=frozenset({"length"})), 0.99, "length", Shortfall.FINISH_REASON),
        (SURE, 0.9, None, None),
    ],
)
def test_an_answer_is_judged_by_finish_reason_and_confidence(policy, sure, finish, lack):
    assert shortfall(policy, sure, finish) is lack
    assert good_enough(policy, sure, finish) is (lack is None)
