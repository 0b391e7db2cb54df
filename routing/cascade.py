"""Decides whether a cheap answer is good enough or the next tier must be asked."""

import math
from enum import StrEnum

from jobs.chat import Answer
from jobs.policy import Policy


class Shortfall(StrEnum):
    """Why an answer is not good enough for its policy."""

    LOW_CONFIDENCE = "low_confidence"
    UNKNOWN_CONFIDENCE = "unknown_confidence"
    """The provider gave no log-probabilities, and the policy says that unknown is not enough."""
    FINISH_REASON = "finish_reason"
    """It ended in one of the policy's `escalate_on`."""


def confidence(answer: Answer) -> float | None:
    """The probability, 0..1, that the model gives to these very tokens: exp of the sum of their log-probabilities.

    Right for labels and short answers, where one wording stands for one meaning. Pessimistic for prose, whose
    probability falls with every token however good it is: leave `min_confidence` unset there. It is raw, not
    calibrated. None when the provider gave no log-probabilities.

    >>> round(confidence(Answer(body=b"", text="refund", finish_reason="stop", logprobs=(-0.1, -0.1))), 4)
    0.8187
    """
    if not answer.logprobs:
        return None
    total = sum(answer.logprobs)
    if math.isnan(total):
        return None
    return math.exp(min(total, 0.0))  # rounding at the provider can push a sum just above 0


def shortfall(policy: Policy, confidence: float | None, finish_reason: str | None) -> Shortfall | None:
    """What an answer lacks under a policy; None when it is good enough."""
    if finish_reason in policy.escalate_on:
        return Shortfall.FINISH_REASON
    if policy.min_confidence is None:
        return None
    if confidence is None:
        return Shortfall.UNKNOWN_CONFIDENCE if policy.on_unknown_confidence == "escalate" else None
    # Written as "not at least", so that a NaN counts as too low.
    return None if confidence >= policy.min_confidence else Shortfall.LOW_CONFIDENCE


def good_enough(policy: Policy, confidence: float | None, finish_reason: str | None) -> bool:
    """Whether the policy takes this answer."""
    return shortfall(policy, confidence, finish_reason) is None
