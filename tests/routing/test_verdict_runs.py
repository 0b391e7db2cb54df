"""Whole lives of jobs: whatever happens, each run ends, and no verdict breaks budget, bars or attempts."""

import uuid
from decimal import Decimal
from typing import Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.failures import Failure, FailureKind
from jobs.job import PastAttempt
from jobs.policy import Intent, Policy
from jobs.states import Outcome
from routing.limits import Refusal
from routing.plan import Plan, Step
from routing.standing import REMEDIES, Course
from routing.verdict import (
    LONGEST_DEFER_S,
    LONGEST_RETRY_S,
    Accept,
    Answered,
    Began,
    Broke,
    Defer,
    Event,
    GiveUp,
    Held,
    Verdict,
    judge,
    turned_away,
)
from tests.routing.yards import LARGE, SMALL_EAST, SMALL_WEST, UNHURRIED, plan_of

CALLED = sorted(kind for kind, remedy in REMEDIES.items() if remedy.course is not Course.END)
LONGEST_RUN = 200
"""Events of one run; a run is far shorter, or the policy of the test allows too much."""

policies = st.builds(
    Policy,
    name=st.just("any"),
    tiers=st.sampled_from(
        [
            ((SMALL_EAST,),),
            ((SMALL_EAST, SMALL_WEST),),
            (("qwen/small",), (LARGE,)),
            ((LARGE, SMALL_WEST), (SMALL_EAST,)),
        ]
    ),
    choose=st.sampled_from(["cheapest", "ordered", "balanced"]),
    min_confidence=st.sampled_from([None, 0.7]),
    on_unknown_confidence=st.sampled_from(["escalate", "accept"]),
    escalate_on=st.sampled_from([frozenset(), frozenset({"length"})]),
    on_exhausted=st.sampled_from(["best_effort", "fail"]),
    on_unknown=st.sampled_from(["repeat", "skip", "fail"]),
    attempts_per_deployment=st.integers(1, 4),
    max_attempts=st.integers(1, 8),
)
intents = st.builds(
    Intent,
    max_cost_usd=st.sampled_from([None, Decimal("0.00005"), Decimal("0.0004"), Decimal("0.001")]),
    on_infeasible=st.sampled_from(["wait", "fail", "best_effort"]),
)
failures = st.builds(
    Failure,
    st.sampled_from(CALLED),
    st.just("it broke"),
    retry_after_s=st.none() | st.floats(-1, 1e9) | st.just(float("nan")),
)
REASONS: tuple[Literal["rate_limit", "concurrency", "breaker", "key_disabled"], ...] = (
    "rate_limit",
    "concurrency",
    "breaker",
    "key_disabled",
)
chances = st.floats(0, 1)


class Run:
    """A runner without I/O: it does what the verdicts say, and draws from `data` what the world does."""

    def __init__(self, plan: Plan, past: list[PastAttempt], data: st.DataObject) -> None:
        self.plan = plan
        self.past = past
        self.data = data
        self.refusals: dict[str, Refusal] = {}

    @property
    def burnt(self) -> int:
        return sum(attempt.counts for attempt in self.past)

    def live(self) -> Verdict:
        """From claim to the verdict that ends the run."""
        event: Event = Began()
        made: list[PastAttempt] = []
        for _ in range(LONGEST_RUN):
            verdict = judge(self.plan, tuple(self.past), event, self.data.draw(chances))
            self.past += made  # the ledger closes an attempt after its verdict
            self.check(verdict)
            if isinstance(verdict, Accept | Defer | GiveUp):
                return verdict
            event, made = self.enter(verdict.step)
        raise AssertionError(f"the run does not end: {self.past}")

    def check(self, verdict: Verdict) -> None:
        policy = self.plan.policy
        if isinstance(verdict, Defer):
            assert 0 < verdict.delay_s <= LONGEST_DEFER_S
        elif isinstance(verdict, Accept):
            assert verdict.attempt is None or verdict.attempt in {one.id for one in self.past if one.answered}
        elif not isinstance(verdict, GiveUp):
            assert 0 <= getattr(verdict, "delay_s", 0.0) <= LONGEST_RETRY_S
            assert verdict.step in self.plan.steps
            assert self.fits(verdict.step)
            assert self.burnt < policy.max_attempts
            here = [one for one in self.past if one.deployment == verdict.step.id]
            assert sum(one.counts for one in here) < policy.attempts_per_deployment
            assert not any(one.failure is not None and REMEDIES[one.failure].bars for one in here)
            assert policy.on_unknown == "repeat" or not any(one.outcome is Outcome.UNKNOWN for one in here)
            assert verdict.step.tier > max((one.tier for one in self.past if one.answered), default=-1)

    def fits(self, step: Step) -> bool:
        """The ledger's own sum, without the mercy for calls that were turned away."""
        limit_usd = self.plan.intent.max_cost_usd
        known = sum((one.cost_usd for one in self.past if one.cost_usd is not None), Decimal(0))
        return limit_usd is None or (step.bound_usd is not None and known + step.bound_usd <= limit_usd)

    def enter(self, step: Step) -> tuple[Event, list[PastAttempt]]:
        """The gate, then the call."""
        if step.id in self.refusals or self.data.draw(st.integers(0, 3)) == 0:
            refusal = Refusal(
                reason=self.data.draw(st.sampled_from(REASONS)), delay_s=self.data.draw(st.floats(0, 100))
            )
            self.refusals.setdefault(step.id, refusal)
            return Held(dict(self.refusals)), []
        bound_usd = step.bound_usd or Decimal(0)
        cost_usd = self.data.draw(st.sampled_from([None, bound_usd, bound_usd / 2]))
        attempt = PastAttempt(
            uuid.uuid4(), step.id, step.tier, Outcome.FAILED, cost_usd=cost_usd, cost_bound_usd=bound_usd
        )
        return self.answer(step, attempt) if self.data.draw(st.booleans()) else self.fail(step, attempt)

    def answer(self, step: Step, attempt: PastAttempt) -> tuple[Event, list[PastAttempt]]:
        confidence = self.data.draw(st.none() | st.floats(0, 1))
        finish = self.data.draw(st.sampled_from(["stop", "length", "content_filter"]))
        is_empty = self.data.draw(st.booleans())
        ended = (
            msgspec.structs.replace(attempt, failure=FailureKind.EMPTY_ANSWER)
            if is_empty
            else msgspec.structs.replace(attempt, outcome=Outcome.REJECTED, confidence=confidence, finish_reason=finish)
        )
        return Answered(step, confidence, finish, is_empty, attempt.cost_usd), [ended]

    def fail(self, step: Step, attempt: PastAttempt) -> tuple[Event, list[PastAttempt]]:
        failure = self.data.draw(failures)
        outcome = Outcome.NOT_SENT if failure.kind is FailureKind.UNREACHABLE else Outcome.FAILED
        if failure.kind is FailureKind.RATE_LIMITED:
            self.refusals[step.id] = turned_away(failure)
        ended = msgspec.structs.replace(attempt, outcome=outcome, failure=failure.kind, cost_usd=attempt.cost_usd)
        return Broke(step, failure, attempt.cost_usd), [ended]


@settings(UNHURRIED, max_examples=300)
@given(policies, intents, st.data())
def test_every_life_ends_and_keeps_its_promises(policy, intent, data):
    plan = plan_of(policy, intent)
    past: list[PastAttempt] = []
    for _ in range(6):
        run = Run(plan, past, data)
        verdict = run.live()
        assert run.burnt <= policy.max_attempts
        if not isinstance(verdict, Defer):
            return
        if run.burnt < policy.max_attempts and data.draw(st.integers(0, 3)) == 0:
            step = data.draw(st.sampled_from(plan.steps))
            cut = data.draw(st.sampled_from([Outcome.UNKNOWN, Outcome.CANCELLED, Outcome.ORPHANED]))
            past.append(PastAttempt(uuid.uuid4(), step.id, step.tier, cut, cost_bound_usd=step.bound_usd or Decimal(0)))
