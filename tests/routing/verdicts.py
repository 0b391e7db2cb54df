"""Events and verdicts on the small catalogue, in few words, for the tests of `judge`."""

import msgspec

from jobs.failures import Failure, FailureKind
from jobs.job import PastAttempt
from jobs.policy import Intent, Policy
from routing.limits import Refusal
from routing.plan import Plan, Step
from routing.verdict import Answered, Broke, Event, GiveUp, Held, Verdict, judge
from tests.routing.yards import LARGE, SMALL_EAST, SMALL_WEST, plan_of

HALF = 0.5
PAIR = Policy(
    name="pair",
    tiers=((SMALL_EAST, SMALL_WEST), (LARGE,)),
    choose="ordered",
    min_confidence=0.7,
    attempts_per_deployment=2,
    max_attempts=8,
)


def step(deployment: str, planned: Plan | None = None) -> Step:
    return next(one for one in (planned or plan_of(PAIR)).steps if one.id == deployment)


EAST, WEST, NORTH = step(SMALL_EAST), step(SMALL_WEST), step(LARGE)


def changed(policy: Policy, **fields: object) -> Policy:
    return msgspec.structs.replace(policy, **fields)


def failure(kind: FailureKind = FailureKind.TRANSIENT, after_s: float | None = None) -> Failure:
    return Failure(kind, "it broke", retry_after_s=after_s)


def broke(where: Step, kind: FailureKind = FailureKind.TRANSIENT, after_s: float | None = None) -> Broke:
    return Broke(where, failure(kind, after_s))


def low(where: Step, confidence: float | None = 0.2, finish: str = "stop") -> Answered:
    return Answered(where, confidence, finish)


def held(**reasons: str) -> Held:
    names = {"east": SMALL_EAST, "west": SMALL_WEST, "north": LARGE}
    delays = {"east": 3.0, "west": 2.0, "north": 5.0}
    return Held({names[key]: Refusal(reason=reason, delay_s=delays[key]) for key, reason in reasons.items()})  # type: ignore[arg-type]


def ruling(
    event: Event, *attempts: PastAttempt, policy: Policy = PAIR, intent: Intent | None = None, chance: float = HALF
) -> Verdict:
    return judge(plan_of(policy, intent), attempts, event, chance)


def given_up(verdict: Verdict) -> Failure:
    assert isinstance(verdict, GiveUp)
    return verdict.failure


def kind_of(verdict: Verdict) -> FailureKind:
    return given_up(verdict).kind
