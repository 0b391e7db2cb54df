"""Judges a submission by what cannot change: its policy, and whether anything in the catalogue can ever carry it."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

import msgspec

from api.paths import read_reference
from api.problems import Code, Problem
from api.schemas import Wish, check_deadline, lane_of
from jobs import ids
from jobs.failures import Failure, FailureKind
from jobs.job import Submission
from jobs.lanes import TERMS, Lane, urgent_at
from jobs.policy import Intent, Policy
from jobs.store.accounts import Key
from routing.allowance import Ceiling, has_room
from routing.checks import schema_fault
from routing.eligibility import dear_parts
from routing.plan import UnknownName, Yard, feasible, plan, policy_for

MOST_REMEMBERED = 1024
NO_INTENT = Intent()


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a submission that does not say."""

    lane: Lane = Lane.STANDARD
    policy: str | None = None
    task: str | None = None
    deadline: dt.datetime | None = None


class Admission:
    """Turns wishes into submissions, or refuses them. What was found feasible is remembered for its likes."""

    def __init__(self, yard: Yard, policies: Mapping[str, Policy], retention_days: int) -> None:
        self._yard = yard
        self._policies = policies
        self._retention_days = retention_days
        self._passed: dict[tuple[object, ...], tuple[int, int]] = {}

    def admit(self, wish: Wish, key: Key, job_id: uuid.UUID, defaults: Defaults) -> Submission:
        """The job to write. Raises Problem: unknown model or policy, deadline out of range, intent infeasible."""
        envelope = wish.envelope
        now = ids.moment_of(job_id)
        lane = lane_of(envelope.lane, defaults.lane)
        deadline = envelope.deadline or defaults.deadline
        if deadline is None:
            deadline = now + dt.timedelta(seconds=TERMS[lane].deadline_s)
        else:
            check_deadline(deadline, now, self._retention_days)
        return Submission(
            id=job_id,
            tenant_id=key.tenant_id,
            key_id=key.id,
            lane=lane,
            policy=self._judge(wish, envelope.policy or defaults.policy, now.date()).name,
            request_raw=wish.request.raw,
            model=wish.request.model,
            deadline_at=deadline,
            urgent_at=urgent_at(lane, now, deadline),
            task=envelope.task or defaults.task,
            intent=envelope.intent or NO_INTENT,
            strict=envelope.strict,
            custom_id=envelope.custom_id,
            webhook_id=read_reference("webhook", "wh", envelope.webhook),
            metadata=envelope.metadata,
            released=lane is Lane.INTERACTIVE,
        )

    def has_room(self, wish: Wish, submission: Submission, ceilings: Sequence[Ceiling]) -> bool:
        """Whether any call that could carry an admitted job may fit into these budgets before its deadline."""
        policy = policy_for(wish.request.model, submission.policy, self._policies, self._yard.catalog)
        if isinstance(policy, UnknownName):
            return True
        steps = plan(submission.id, wish.request, policy, submission.intent, self._yard).steps
        time_left_s = (submission.deadline_at - ids.moment_of(submission.id)).total_seconds()
        return has_room(ceilings, [step.bound_usd for step in steps], time_left_s)

    def _yard_on(self, day: dt.date) -> Yard:
        """The yard with that day's prices. What was found feasible at yesterday's is asked anew."""
        yard = self._yard.on(day)
        if yard is not self._yard:
            self._yard = yard
            self._passed.clear()
        return yard

    def _judge(self, wish: Wish, policy_name: str | None, day: dt.date) -> Policy:
        intent = wish.envelope.intent or NO_INTENT
        policy = policy_for(wish.request.model, policy_name, self._policies, self._yard.catalog)
        if isinstance(policy, UnknownName):
            raise Problem(Code.UNKNOWN_MODEL, policy.message, policy.param)
        likes, size = _likes(wish, policy, intent)
        yard = self._yard_on(day)
        passed = self._passed.get(likes) if likes is not None else None
        if passed is not None and size[0] <= passed[0] and size[1] <= passed[1]:
            return policy
        if (fault := schema_fault(wish.request)) is not None:
            where, message = fault
            raise Problem(Code.INVALID_VALUE, f"request.{where}: {message}", f"request.{where}")
        strict = wish.envelope.strict
        refusal = feasible(plan(uuid.UUID(int=0), wish.request, policy, intent, yard, strict=strict))
        if refusal is not None:
            raise _infeasible(refusal, is_named=policy.name not in self._policies)
        if likes is None:
            return policy
        if len(self._passed) >= MOST_REMEMBERED:
            self._passed.clear()
        self._passed[likes] = size
        return policy


def _infeasible(refusal: Failure, *, is_named: bool) -> Problem:
    """Nothing can carry the job. Of a model that the caller named it is the window that is told, where that is it."""
    if refusal.kind is not FailureKind.CONTEXT_TOO_LONG:
        return Problem(Code.INTENT_INFEASIBLE, refusal.message, "intent")
    if is_named:
        return Problem(Code.CONTEXT_TOO_LONG, refusal.message, "request.messages")
    problem = Problem(Code.INTENT_INFEASIBLE, refusal.message, "intent")
    problem.is_too_long = True
    return problem


def _likes(wish: Wish, policy: Policy, intent: Intent) -> tuple[tuple[object, ...] | None, tuple[int, int]]:
    """What two requests must share to be judged alike, and the sizes in which the smaller one can only be easier.

    All but the messages is compared as it is; of the messages their number and their bytes. None where what is in the
    messages counts: parts, tool calls, and anything at all of a strict job.
    """
    body = wish.request.body
    rest = msgspec.json.encode({name: value for name, value in body.items() if name != "messages"})
    messages = wish.request.messages
    has_parts = any(not isinstance(message.get("content"), str) for message in messages)
    has_calls = any(len(message) > 2 for message in messages)
    size = (len(wish.request.raw), len(messages))
    if has_parts or has_calls or wish.envelope.strict or messages[-1].get("role") == "assistant":
        return None, size
    return (policy.name, rest, intent, dear_parts(wish.request.raw)), size
