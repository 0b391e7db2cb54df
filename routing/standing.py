"""What a job has behind it and what is still open to it: tallies of its attempts, laid over its plan."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from jobs.failures import FailureKind
from jobs.job import PastAttempt
from jobs.states import Outcome
from routing.dialects.registry import voice_of
from routing.eligibility import NOTHING, Step
from routing.plan import Plan

Past = tuple[PastAttempt, ...]


class Course(StrEnum):
    """What is done about a failed call."""

    ELSEWHERE = "elsewhere"
    """Another deployment of the tier, else the same again after a wait, else the next tier."""
    AGAIN = "again"
    """The same deployment once more, then elsewhere."""
    WAIT = "wait"
    """Another deployment of the tier, else later; it burns no attempt."""
    STOP = "stop"
    """No further call can help."""
    END = "end"
    """The job itself is over."""


class Remedy(NamedTuple):
    """The remedy for one kind of failure, and what such a failure tells of its deployment."""

    course: Course
    bars: bool = False
    """The deployment is never asked again for this job."""
    slowness: float = 1.0
    """Stretches the backoff."""


REMEDIES: dict[FailureKind, Remedy] = {
    FailureKind.UNREACHABLE: Remedy(Course.ELSEWHERE),
    FailureKind.TIMEOUT: Remedy(Course.ELSEWHERE),
    FailureKind.TRANSIENT: Remedy(Course.ELSEWHERE),
    FailureKind.OVERLOADED: Remedy(Course.ELSEWHERE, slowness=4.0),
    FailureKind.RATE_LIMITED: Remedy(Course.WAIT),
    FailureKind.NO_CREDIT: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.BAD_KEY: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.MODEL_NOT_FOUND: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.MODEL_DENIED: Remedy(Course.ELSEWHERE, bars=True),
    # Asks one other candidate that speaks or thinks in another way, see `_refused_alike`; a second refusal is the last.
    FailureKind.BAD_REQUEST: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.CONTENT_FILTER: Remedy(Course.STOP),
    FailureKind.FIELD_REFUSED: Remedy(Course.AGAIN),
    FailureKind.OVER_LIMIT: Remedy(Course.ELSEWHERE, bars=True),
    # Bars every deployment whose window is not known to be larger, see `_too_small`.
    FailureKind.CONTEXT_TOO_LONG: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.TRUNCATED: Remedy(Course.ELSEWHERE),
    FailureKind.MALFORMED: Remedy(Course.ELSEWHERE),
    FailureKind.EMPTY_ANSWER: Remedy(Course.AGAIN),
    FailureKind.INVALID_ANSWER: Remedy(Course.AGAIN),
    FailureKind.UNSUPPORTED: Remedy(Course.ELSEWHERE, bars=True),
    FailureKind.WORKER_DEATHS: Remedy(Course.END),
    FailureKind.DEADLINE_PASSED: Remedy(Course.END),
    FailureKind.CANCELLED: Remedy(Course.END),
    FailureKind.LOW_CONFIDENCE: Remedy(Course.STOP),
    FailureKind.OVER_BUDGET: Remedy(Course.STOP),
    FailureKind.INTENT_INFEASIBLE: Remedy(Course.STOP),
    FailureKind.UNKNOWN_ATTEMPT: Remedy(Course.STOP),
    # A defect may be that of one wire, or of what one provider sends. What met it once would meet it again.
    FailureKind.INTERNAL: Remedy(Course.ELSEWHERE, bars=True),
}

NONE: Counter[str] = Counter()
LOST = frozenset({Outcome.UNKNOWN, Outcome.ORPHANED})
"""Calls whose answer no worker could use: a crash or a lost lease cut them, and they may have been billed."""


TAKEN = frozenset({FailureKind.EMPTY_ANSWER, FailureKind.INVALID_ANSWER, FailureKind.TRUNCATED})
"""Failures of calls whose request was taken."""


class Standing(NamedTuple):
    """A plan with the job's closed attempts counted; deployments by id."""

    plan: Plan
    past: Past
    floor: int
    """Lowest tier that may still be asked: every tier that gave an answer not good enough is done."""
    burnt: Counter[str]
    """Attempts that count, by deployment."""
    tries: Counter[str]
    """Failures by deployment, those without a connection too, those for a rate limit not."""
    limited: Counter[str]
    """Rate-limited calls, by deployment."""
    barred: frozenset[str]
    spent_usd: Decimal
    """Known costs, and the bound where the cost is unknown: what the budget must take for gone."""

    @property
    def allowed(self) -> Iterator[Step]:
        """Steps that could be asked again if money were no matter."""
        policy = self.plan.policy
        if self.burnt.total() >= policy.max_attempts:
            return
        for step in self.plan.steps:
            is_over = step.tier < self.floor or step.id in self.barred
            if not is_over and self.burnt[step.id] < policy.attempts_per_deployment:
                yield step

    @property
    def open(self) -> tuple[Step, ...]:
        """Steps that may be asked again."""
        return tuple(step for step in self.allowed if self._fits(step))

    @property
    def fresh(self) -> tuple[Step, ...]:
        """Open steps worth asking in this run; the others only failed to connect, again and again, and should rest."""
        policy = self.plan.policy
        if self.tries.total() >= policy.max_attempts:
            return ()
        return tuple(step for step in self.open if self.tries[step.id] < policy.attempts_per_deployment)

    def _fits(self, step: Step) -> bool:
        budget_usd = self.plan.intent.max_cost_usd
        if budget_usd is None:
            return True
        return step.bound_usd is not None and self.spent_usd + step.bound_usd <= budget_usd

    @property
    def best_answer(self) -> PastAttempt | None:
        """The latest answer at hand: the one of the highest tier that answered."""
        return next((attempt for attempt in reversed(self.past) if attempt.answered), None)

    @property
    def last(self) -> PastAttempt | None:
        """The latest attempt that counts."""
        return next((attempt for attempt in reversed(self.past) if attempt.counts), None)

    @property
    def is_in_doubt(self) -> bool:
        """One provider refused the request, and none since has taken it or refused it, too."""
        kinds = [attempt.failure for attempt in self.past]
        if kinds.count(FailureKind.BAD_REQUEST) != 1:
            return False
        since = self.past[kinds.index(FailureKind.BAD_REQUEST) + 1 :]
        return not any(attempt.answered or attempt.failure in TAKEN for attempt in since)

    def failures(self, kind: FailureKind) -> int:
        """How many attempts ended so."""
        return sum(attempt.failure is kind for attempt in self.past)


def stand(plan: Plan, past: Past) -> Standing:
    """Count the closed attempts, oldest first."""
    if not past:  # every job's first verdict: worth the shortcut
        return Standing(plan, past, 0, NONE, NONE, NONE, frozenset(), NOTHING)
    answered = [attempt.tier for attempt in past if attempt.answered]
    return Standing(
        plan=plan,
        past=past,
        floor=max(answered) + 1 if answered else 0,
        burnt=_tally(past, lambda attempt: attempt.counts),
        tries=_tally(past, _is_trouble),
        limited=_tally(past, lambda attempt: attempt.failure is FailureKind.RATE_LIMITED),
        barred=frozenset(_barred(plan, past)),
        spent_usd=sum(map(_bill, past), NOTHING),
    )


def _tally(past: Past, holds: Callable[[PastAttempt], bool]) -> Counter[str]:
    return Counter(attempt.deployment for attempt in past if holds(attempt))


def _is_trouble(attempt: PastAttempt) -> bool:
    failed = attempt.outcome in {Outcome.FAILED, Outcome.NOT_SENT}
    return failed and attempt.failure not in {None, FailureKind.RATE_LIMITED}


def _bill(attempt: PastAttempt) -> Decimal:
    if attempt.cost_usd is not None:
        return attempt.cost_usd
    return NOTHING if attempt.outcome is Outcome.NOT_SENT else attempt.cost_bound_usd


def _barred(plan: Plan, past: Past) -> Iterable[str]:
    """Deployments that this job leaves alone for good."""
    for kind in (FailureKind.EMPTY_ANSWER, FailureKind.INVALID_ANSWER):
        useless = [attempt.deployment for attempt in past if attempt.failure is kind]
        if len(useless) > 1:
            yield from useless
    yield from _refused_alike(plan, past)
    for attempt in past:
        if attempt.failure is not None and REMEDIES[attempt.failure].bars:
            yield attempt.deployment
        if attempt.failure is FailureKind.CONTEXT_TOO_LONG:
            yield from _too_small(plan, attempt.deployment)
        if attempt.outcome in LOST and plan.policy.on_unknown == "skip":
            yield attempt.deployment


def _refused_alike(plan: Plan, past: Past) -> Iterable[str]:
    """Deployments that would refuse the request, too: after one refusal those alike, after two all.

    An unknown 400 may be a defect of ours on one wire, a lack of one server, or a rule of one maker. So the request is
    shown to one candidate more, whose wire, accent or maker is another. If that one refuses, it is the request.
    """
    refused = [attempt.deployment for attempt in past if attempt.failure is FailureKind.BAD_REQUEST]
    if not refused:
        return
    manner = _manner(plan, refused[0])
    for step in plan.steps:
        if len(refused) > 1 or _manner(plan, step.id) == manner:
            yield step.id


def _manner(plan: Plan, deployment: str) -> tuple[str, str, str]:
    """Wire and accent of a deployment's provider, and the maker of its model."""
    model, _, provider = deployment.partition("@")
    return *voice_of(provider, plan.providers.get(provider)), model.partition("/")[0]


def _too_small(plan: Plan, full: str) -> Iterable[str]:
    """Deployments whose window is not known to be larger than that of `full`; other models, if that is unknown."""
    model = full.partition("@")[0]
    window = next((step.model.context_tokens for step in plan.steps if step.id == full), None)
    for step in plan.steps:
        is_larger = window is None or (step.model.context_tokens is not None and step.model.context_tokens > window)
        if step.deployment.model == model or not is_larger:
            yield step.id
