"""Decides whether an answer may be shown while it comes, or only once it is the job's."""

from decimal import Decimal

from routing.eligibility import Step
from routing.plan import Plan
from routing.standing import Past
from routing.verdict import Accept, Answered, judge


def may_be_shown(plan: Plan, past: Past, step: Step) -> bool:
    """Whether a whole answer of this step would be taken, however unsure it is and however it ends.

    Asked of the verdict itself, with the doubts that a policy can have: without confidence, with none at all, and
    with each finish reason that it escalates on. Then the answer's tokens are the job's tokens as they come. What
    ends as no answer at all (a broken call, one that fails its schema) is not foreseen here: its reader is told.
    """
    policy = plan.policy
    if policy.min_confidence is None and not policy.escalate_on:
        return True
    doubts = [
        Answered(step, confidence, finish_reason, cost_usd=Decimal(0))  # free: nothing is too dear to ask next
        for confidence in (None, 0.0)
        for finish_reason in ("stop", *sorted(policy.escalate_on))
    ]
    return all(_is_taken(plan, past, doubt) for doubt in doubts)


def _is_taken(plan: Plan, past: Past, doubt: Answered) -> bool:
    verdict = judge(plan, past, doubt, 0.0)
    return isinstance(verdict, Accept) and verdict.attempt is None
