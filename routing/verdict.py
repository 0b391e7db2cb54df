"""Judges what happened to a job and says what is done next; a closed union, for one exhaustive match."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, assert_never
from uuid import UUID

import msgspec

from jobs.failures import Failure, FailureKind
from jobs.job import PastAttempt
from jobs.states import Outcome
from routing import backoff, cascade
from routing.eligibility import NOTHING, Step
from routing.limits import Refusal
from routing.plan import Plan
from routing.standing import LOST, REMEDIES, Course, Past, Standing, stand

LONGEST_RETRY_S = 2.0
"""A longer wait is a Defer: it happens in Postgres, not in a worker's slot."""
SHORTEST_DEFER_S = 0.05
"""A job does not come back from Postgres sooner, so that a wait of nought cannot become a busy loop."""
LONGEST_DEFER_S = 3600.0
"""A provider that asks for more is asked again after an hour: the header may be nonsense, the deadline may not."""
RATE_LIMIT_S = 1.0
"""Wait after a 429 that names none."""
NOW = UUID(int=0)
"""Stands for the attempt just made, which the ledger closes only after the verdict."""

DeferReason = Literal["rate_limit", "concurrency", "breaker", "key_disabled", "budget", "backoff"]


class Began(msgspec.Struct, frozen=True):
    """A worker claimed the job: for the first time, or again after a wait, a crash or a shutdown."""


class Answered(msgspec.Struct, frozen=True):
    """The step's call came back with an answer."""

    step: Step
    confidence: float | None
    finish_reason: str
    is_empty: bool = False
    cost_usd: Decimal | None = None
    """None: unknown, and the budget takes the step's bound for spent."""
    flaw: Failure | None = None
    """Why the answer can't be used though it came whole."""


class Broke(msgspec.Struct, frozen=True):
    """The step's call failed."""

    step: Step
    failure: Failure
    cost_usd: Decimal | None = None


class Held(msgspec.Struct, frozen=True):
    """The gate let the job not through to the step that it was sent to; no call was made."""

    refusals: Mapping[str, Refusal]
    """By deployment id: everything that turned the job away in this run so far, the 429s of `turned_away` too.
    It must grow from one Held to the next, else two full deployments could send the job to and fro."""


Event = Began | Answered | Broke | Held


class Start(msgspec.Struct, frozen=True):
    """Call this step: the first of this run."""

    step: Step


class Accept(msgspec.Struct, frozen=True):
    """The job succeeded with the answer of an attempt: the one just made (None), or an earlier one."""

    attempt: UUID | None = None
    note: str | None = None
    """For the receipt, when the answer is less than the policy asked for."""


class Retry(msgspec.Struct, frozen=True):
    """Call this step, which failed before, after a short wait in the worker (at most 2 s)."""

    step: Step
    delay_s: float


class FailOver(msgspec.Struct, frozen=True):
    """Call this step at once, beside the one that failed."""

    step: Step


class Escalate(msgspec.Struct, frozen=True):
    """Call this step at once, of a higher tier."""

    step: Step


class Defer(msgspec.Struct, frozen=True):
    """Give the job back to Postgres, due again after `delay_s`."""

    delay_s: float
    reason: DeferReason


class GiveUp(msgspec.Struct, frozen=True):
    """The job failed."""

    failure: Failure


Verdict = Start | Accept | Retry | FailOver | Escalate | Defer | GiveUp


def judge(plan: Plan, past: Past, event: Event, chance: float) -> Verdict:
    """What to do next. Pure: the same arguments, the same verdict.

    `past` holds the job's closed attempts before this event, oldest first, without the event's own; `chance` (0..1)
    is the draw for the jitter. A run ends with Accept, Defer or GiveUp after at most `max_attempts` calls that count.
    """
    match event:
        case Began():
            return _begin(stand(plan, past))
        case Answered(is_empty=True):
            failure = Failure(FailureKind.EMPTY_ANSWER, "the answer is empty")
            return _mend(plan, past, Broke(event.step, failure, event.cost_usd), chance)
        case Answered(flaw=Failure() as flaw):
            return _mend(plan, past, Broke(event.step, flaw, event.cost_usd), chance)
        case Answered():
            return _weigh(plan, past, event, chance)
        case Broke():
            return _mend(plan, past, event, chance)
        case Held():
            standing = stand(plan, past)
            return _at_once(standing, _pass_by(standing, event.refusals, chance), None)
        case _:  # pragma: no cover - mypy proves it cannot be reached
            assert_never(event)


def turned_away(failure: Failure) -> Refusal:
    """A provider's 429 as a refusal, for `Held.refusals` of the same run."""
    return Refusal(reason="rate_limit", delay_s=_asked(failure, RATE_LIMIT_S))


def _begin(standing: Standing) -> Verdict:
    """Continue, never repeat: what was answered, failed or cut before is not forgotten."""
    policy = standing.plan.policy
    for attempt in reversed(standing.past):
        if attempt.answered and cascade.good_enough(policy, attempt.confidence, attempt.finish_reason):
            return Accept(attempt.id, "an earlier answer is good enough for the policy as it is now")
    if policy.on_unknown == "fail" and any(attempt.outcome in LOST for attempt in standing.past):
        return GiveUp(
            Failure(FailureKind.UNKNOWN_ATTEMPT, 'a crash cut a call, and the policy says on_unknown = "fail"')
        )
    steps = standing.fresh or standing.open
    return Start(_least_tried(standing, steps)) if steps else _settle(standing, None)


def _weigh(plan: Plan, past: Past, event: Answered, chance: float) -> Verdict:
    """An answer: take it, or ask the next tier."""
    lack = cascade.shortfall(plan.policy, event.confidence, event.finish_reason)
    if lack is None:
        return Accept()
    rejected = _record(event.step, Outcome.REJECTED, event.cost_usd)
    rejected = msgspec.structs.replace(rejected, confidence=event.confidence, finish_reason=event.finish_reason)
    failure = Failure(FailureKind.LOW_CONFIDENCE, _explain(lack, plan, event))
    return _elsewhere(stand(plan, (*past, rejected)), event.step, failure, chance)


def _mend(plan: Plan, past: Past, event: Broke, chance: float) -> Verdict:
    """A failure: the remedy for its kind."""
    step, failure = event.step, event.failure
    outcome = Outcome.NOT_SENT if failure.kind is FailureKind.UNREACHABLE else Outcome.FAILED
    broken = msgspec.structs.replace(_record(step, outcome, event.cost_usd), failure=failure.kind)
    standing = stand(plan, (*past, broken))
    verdict = _remedy(standing, step, failure, chance)
    return verdict if REMEDIES[failure.kind].course is Course.END else _at_once(standing, verdict, failure)


def _remedy(standing: Standing, step: Step, failure: Failure, chance: float) -> Verdict:
    match REMEDIES[failure.kind].course:
        case Course.ELSEWHERE:
            return _elsewhere(standing, step, failure, chance)
        case Course.AGAIN:
            return _again(standing, step, failure, chance)
        case Course.WAIT:
            return _make_room(standing, step, failure, chance)
        case Course.STOP:
            return _best_effort(standing) or GiveUp(failure)
        case Course.END:
            return GiveUp(failure)
        case _ as never:  # pragma: no cover - mypy proves it cannot be reached
            assert_never(never)


def _at_once(standing: Standing, verdict: Verdict, failure: Failure | None) -> Verdict:
    """After one refusal of the request: the verdict, if it asks another candidate now; else the refusal stands.

    A second opinion is worth a call, not a wait: the request is bad, most often, and its caller should hear so.
    """
    if isinstance(verdict, GiveUp) and standing.failures(FailureKind.BAD_REQUEST) > 1:
        return GiveUp(_refused_twice(standing, verdict.failure))
    if isinstance(verdict, Start | FailOver | Escalate | Accept) or not standing.is_in_doubt:
        return verdict
    if failure is None or failure.kind is not FailureKind.BAD_REQUEST:
        where = _first_refusal(standing)
        message = f"{where} refused the request, and no candidate of another kind stood ready to be asked"
        failure = Failure(FailureKind.BAD_REQUEST, message)
    return _best_effort(standing) or GiveUp(failure)


def _refused_twice(standing: Standing, failure: Failure) -> Failure:
    """The later refusal in its own words, with the name of who refused first.

    The later one came over another wire or from another maker, so what both complain of is the caller's to correct.
    """
    if failure.kind is not FailureKind.BAD_REQUEST:
        return failure
    message = f"{failure.message} {_first_refusal(standing)} had refused it, too."
    return msgspec.structs.replace(failure, message=message)


def _first_refusal(standing: Standing) -> str:
    return next(each.deployment[:100] for each in standing.past if each.failure is FailureKind.BAD_REQUEST)


def _elsewhere(standing: Standing, step: Step, failure: Failure, chance: float) -> Verdict:
    """Another deployment of the tier, else the same after a wait, else the next tier, else wait or settle."""
    fresh = standing.fresh
    if fresh:
        target = _least_tried(standing, fresh, avoid=step.id)
        return _go(standing, target, step.tier, failure if target.id == step.id else None, chance)
    if standing.open:  # nothing but failed connections: they burn no attempt, so the job waits for the network
        return _rest(standing, standing.open[0], failure, chance)
    return _settle(standing, failure)


def _again(standing: Standing, step: Step, failure: Failure, chance: float) -> Verdict:
    """An empty or invalid answer is asked for once more; a second one sends the job elsewhere."""
    if standing.failures(failure.kind) == 1 and step in standing.fresh:
        return Retry(step, 0.0)
    return _elsewhere(standing, step, failure, chance)


def _make_room(standing: Standing, step: Step, failure: Failure, chance: float) -> Verdict:
    """Rate limited: another deployment of the tier that was limited less often, else later.

    Less often than this one, its latest included: so each is asked once before the job waits, whatever came before.
    """
    limited = standing.limited
    others = [one for one in standing.fresh if one.tier == step.tier and limited[one.id] < limited[step.id]]
    if others:
        return _go(standing, _least_tried(standing, others), step.tier, None, chance)
    return _later(_asked(failure, RATE_LIMIT_S), "rate_limit")


def _pass_by(standing: Standing, refusals: Mapping[str, Refusal], chance: float) -> Verdict:
    """Held at the gate: another step of the tier, else the next tier if only health is in the way, else later."""
    steps = standing.fresh or standing.open
    met: list[Refusal] = []
    for tier in sorted({step.tier for step in steps}):
        inside = [step for step in steps if step.tier == tier]
        free = [step for step in inside if step.id not in refusals]
        if free:
            return _go(standing, _least_tried(standing, free), steps[0].tier, None, chance)
        met += [refusals[step.id] for step in inside]
        if any(refusal.reason in ("rate_limit", "concurrency", "budget") for refusal in met):
            break
    if not met:
        return _settle(standing, None)
    soonest = min(met, key=lambda refusal: refusal.delay_s)
    is_health = all(refusal.reason in ("breaker", "key_disabled") for refusal in met)
    sick = _unwell(standing) if is_health else None
    return sick or _later(soonest.delay_s, soonest.reason)


def _unwell(standing: Standing) -> Verdict | None:
    """No candidate is healthy: what the intent says of that; None to wait."""
    match standing.plan.intent.on_infeasible:
        case "fail":
            return GiveUp(Failure(FailureKind.INTENT_INFEASIBLE, "no deployment that can carry this job is healthy"))
        case "best_effort":
            return _best_effort(standing)
        case _:
            return None


def _go(standing: Standing, step: Step, from_tier: int, failure: Failure | None, chance: float) -> Verdict:
    """Send the job to a step: at once where it has not failed yet, else after the backoff for its own last failure.

    A step that is open but not fresh has rested in Postgres already and is not made to wait again.
    """
    if standing.tries[step.id] and step in standing.fresh:
        return _rest(standing, step, failure, chance)
    return Escalate(step) if step.tier > from_tier else FailOver(step)


def _rest(standing: Standing, step: Step, failure: Failure | None, chance: float) -> Verdict:
    """Wait before a step is called again: in the worker when the curve allows 2 s at most, else in Postgres.

    The curve decides and not the draw, so that a lucky draw cannot keep a job in its worker for ever.
    """
    slowness = REMEDIES[failure.kind].slowness if failure else 1.0
    longest_s = backoff.curve(standing.tries[step.id], slowness)
    asked_s = _asked(failure, 0.0) if failure else 0.0
    delay_s = max(backoff.jitter(longest_s, chance), asked_s)
    if max(longest_s, asked_s) > LONGEST_RETRY_S or step not in standing.fresh:
        return _later(delay_s, "backoff")
    return Retry(step, delay_s)


def _settle(standing: Standing, failure: Failure | None) -> Verdict:
    """Nothing is left to ask: the best answer so far, or the reason why there is none."""
    effort = _best_effort(standing)
    if effort is not None:
        return effort
    if next(standing.allowed, None) is not None:
        limit_usd = standing.plan.intent.max_cost_usd or NOTHING
        message = f"no further call fits into max_cost_usd {limit_usd:f}: {standing.spent_usd:f} may be spent already"
        return GiveUp(Failure(FailureKind.OVER_BUDGET, message))
    return GiveUp(failure or _last_failure(standing))


def _last_failure(standing: Standing) -> Failure:
    """The failure of a job that begins with nothing left to ask."""
    last = standing.last
    if last is None:
        unable = Failure(FailureKind.INTENT_INFEASIBLE, "no deployment can carry this job")
        return standing.plan.failure or unable
    if last.outcome is Outcome.REJECTED:
        return Failure(FailureKind.LOW_CONFIDENCE, "no answer was good enough for the policy and no tier is left")
    if last.failure is None:
        return Failure(FailureKind.UNKNOWN_ATTEMPT, "crashes cut this job's calls and no attempt is left")
    return Failure(last.failure, f"the last call ended with {last.failure} and no attempt is left")


def _best_effort(standing: Standing) -> Accept | None:
    """The latest answer, where the policy would rather have that than fail."""
    answer = standing.best_answer
    if answer is None or standing.plan.policy.on_exhausted == "fail":
        return None
    sure = "unknown" if answer.confidence is None else f"{answer.confidence:.3f}"
    note = f"best effort: {answer.deployment[:100]} answered with confidence {sure}, and nothing better could be had"
    return Accept(None if answer.id == NOW else answer.id, note)


def _least_tried(standing: Standing, steps: Sequence[Step], avoid: str = "") -> Step:
    """Of the lowest tier among the steps the one that failed least often.

    Between equals rather another than `avoid`, which failed just now; else the plan's order decides.
    """
    return min(steps, key=lambda step: (step.tier, standing.tries[step.id], step.id == avoid))


def _record(step: Step, outcome: Outcome, cost_usd: Decimal | None) -> PastAttempt:
    """The attempt just made, as if it were closed."""
    bound_usd = step.bound_usd or NOTHING
    return PastAttempt(NOW, step.id, step.tier, outcome, cost_usd=cost_usd, cost_bound_usd=bound_usd)


def _asked(failure: Failure, otherwise_s: float) -> float:
    """How long the provider asked us to stay away, in seconds."""
    return otherwise_s if failure.retry_after_s is None else max(0.0, failure.retry_after_s)  # nought for a NaN


def _later(delay_s: float, reason: DeferReason) -> Defer:
    most_s = float("inf") if reason == "budget" else LONGEST_DEFER_S  # a budget's wait is no provider's word
    return Defer(min(max(SHORTEST_DEFER_S, delay_s), most_s), reason)


def _explain(lack: cascade.Shortfall, plan: Plan, event: Answered) -> str:
    match lack:
        case cascade.Shortfall.FINISH_REASON:
            return f"the answer ended with {event.finish_reason}, and the policy escalates on that"
        case cascade.Shortfall.UNKNOWN_CONFIDENCE:
            return "the answer's confidence is unknown, and no tier is left"
        case _:
            return f"the answer's confidence {event.confidence} is below {plan.policy.min_confidence}"
