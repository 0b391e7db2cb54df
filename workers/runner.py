"""A claimed job walks: plan, judge, attempt, judge, ... until one verdict ends it or sends it back to wait."""

import asyncio
import random
import time
import uuid
from decimal import Decimal
from typing import assert_never

import msgspec

from jobs import failpoints
from jobs.chat import Adaptation, Answer
from jobs.ending import Ending
from jobs.failures import Failure, FailureKind
from jobs.job import Job, PastAttempt
from jobs.states import Outcome
from jobs.store.endings import answered_at_once
from jobs.store.rows import Closing, Move
from jobs.store.session import StoreUnavailable
from routing.allowance import IN_FLIGHT_S
from routing.checks import corrected
from routing.eligibility import Step, again
from routing.emulation import Emulation, emulation_of
from routing.limits import Refusal
from routing.plan import Plan
from routing.standing import stand
from routing.verdict import (
    Accept,
    Answered,
    Began,
    Broke,
    Defer,
    Escalate,
    Event,
    FailOver,
    GiveUp,
    Held,
    Retry,
    Start,
    Verdict,
    judge,
    turned_away,
)
from workers.attempt import Attempt, Correction, Made
from workers.leases import Stop
from workers.parts import LostLease, Parts

LOST = "moved on"
WORDS = {FailOver: "failed over to", Escalate: "escalated to"}
MOST_NOTES = 8
WRITE_AGAIN_S = 1.0


class Rest(msgspec.Struct, frozen=True):
    """Where a job comes to rest for now: the move to write, and the word for the bell's report."""

    move: Move
    word: str
    deployment: str | None = None
    """What answered, if the job ends with an answer just made."""


class Runner:
    """Carries one job to its next rest; `run` returns the word for the bell's report: `succeeded`, `deferred`."""

    def __init__(self, parts: Parts, job: Job, plan: Plan, ends_at_s: float) -> None:
        """`ends_at_s` is the job's deadline on this process's monotonic clock, reckoned when it was claimed."""
        self._parts = parts
        self._job = job
        self._plan = plan
        self._past: list[PastAttempt] = list(job.past)
        self._adaptations: tuple[Adaptation, ...] = ()
        self._notes: list[str] = []
        self._refusals: dict[str, Refusal] = {}
        self._unaffordable: list[Decimal] = []
        self._attempt: Attempt | None = None
        self._flawed: Made | None = None
        """The call before, if its answer can't be used: the next one to the same deployment shows it to the model."""
        self._ends_at_s = ends_at_s
        self._spent_ms = 0

    async def run(self) -> str:
        """Walk until the job rests, then write it. A stop from outside or the deadline cuts the walk, not the write."""
        try:
            async with asyncio.timeout(max(0.0, self._ends_at_s - time.monotonic())):
                rest = await self._walk()
        except TimeoutError:
            rest = Rest(Move.expire(self._job.id, self._job.token, self.cut()), "expired")
        except LostLease:  # or its owner asked to cancel: then the same statement that gives it back cancels it
            rest = Rest(Move.defer(self._job.id, self._job.token, 0.0, None), LOST)
        except StoreUnavailable:  # while a call was to be opened: nothing was sent
            rest = Rest(Move.defer(self._job.id, self._job.token, 0.0, self._unsent()), "deferred")
        except asyncio.CancelledError:
            rest = self._stopped()
        self._parts.leases.rest(self._job.id)
        return await self._settle(rest)

    async def _walk(self) -> Rest:
        event: Event = Began()
        made: Made | None = None
        while True:
            verdict = judge(self._plan, tuple(self._past), event, random.random())  # noqa: S311 -- jitter
            next_ = await self._apply(verdict, made)
            if isinstance(next_, Rest):
                return next_
            made, event = await self._try(next_)

    async def _apply(self, verdict: Verdict, made: Made | None) -> Step | Rest:
        """Do what the verdict says: the step to try next, or where the job rests."""
        closing = made.closing if made else None
        match verdict:
            case Start(step):
                return step
            case FailOver(step) | Escalate(step):
                self._notes.append(f"{WORDS[type(verdict)]} {step.id}")
                await self._close(made)
                return step
            case Retry(step, delay_s):
                await self._close(made)
                await asyncio.sleep(delay_s)
                return step
            case Accept(attempt, note):
                return self._accept(attempt, note, made)
            case Defer(delay_s, reason):
                self._notes.append(f"waited: {reason}")
                if reason != "budget" or delay_s <= IN_FLIGHT_S:
                    self._unaffordable.clear()
                return Rest(Move.defer(self._job.id, self._job.token, delay_s, closing), "deferred")
            case GiveUp(failure):
                return Rest(Move.fail(self._job.id, self._job.token, failure, closing), "failed")
            case _:
                assert_never(verdict)

    async def _try(self, step: Step) -> tuple[Made | None, Event]:
        """Make the attempt, or hear that the gate holds it back."""
        tokens = self._parts.tokens.open(self._job, self._plan, tuple(self._past), step)
        self._attempt = Attempt(self._parts, self._job, self._plan, step, tokens)
        if (correction := self._correction(step)) is not None:
            self._attempt.correct(correction)
        result = await self._attempt.call(self._ends_at_s - time.monotonic())
        self._attempt = None
        if isinstance(result, Refusal):
            self._parts.telemetry.refused(result)
            self._refusals[step.id] = result
            if result.reason == "budget" and step.bound_usd is not None:
                self._unaffordable.append(step.bound_usd)
            return None, Held(self._refusals)
        if isinstance(result.result, Failure) and result.result.kind is FailureKind.RATE_LIMITED:
            self._refusals[step.id] = turned_away(result.result)
        self._adaptations = result.adaptations
        self._flawed = result if result.flaw is not None else None
        self._spent_ms += result.closing.total_ms or 0
        failpoints.hit("answered_before_commit")
        return result, self._event(result)

    def _correction(self, step: Step) -> Correction | None:
        """What shows the model its answer before; None where that was another's, is too dear, or a strict job's."""
        made = self._flawed
        if made is None or made.flaw is None or made.step.id != step.id or self._job.strict:
            return None
        intent = self._job.intent
        request, shown = corrected(self._job.request, made.flaw)
        emulation = emulation_of(request, self._plan.policy, step.model)
        longer = again(step, emulation.request if isinstance(emulation, Emulation) else request, intent)
        if longer is None:
            return None
        spent_usd = stand(self._plan, tuple(self._past)).spent_usd
        if intent.max_cost_usd is not None and spent_usd + (longer.bound_usd or 0) > intent.max_cost_usd:
            return None
        return Correction(request, shown, longer)

    def _event(self, made: Made) -> Event:
        closing = made.closing
        if isinstance(made.result, Answer):
            return Answered(
                step=made.step,
                confidence=closing.confidence,
                finish_reason=made.result.finish_reason,
                is_empty=made.result.is_empty,
                flaw=made.flaw.failure if made.flaw is not None else None,
                cost_usd=closing.cost_usd,
            )
        return Broke(step=made.step, failure=made.result, cost_usd=closing.cost_usd)

    async def _close(self, made: Made | None) -> None:
        """Book an attempt that did not end the job, and go on after it. Raises LostLease."""
        if made is None:
            return
        closing = made.closing
        if not await self._write(Move.close(self._job.id, self._job.token, closing)):
            raise LostLease
        self._past.append(
            PastAttempt(
                id=closing.id,
                deployment=made.step.deployment.id,
                tier=made.step.tier,
                outcome=closing.outcome,
                failure=closing.failure,
                confidence=closing.confidence,
                cost_usd=closing.cost_usd,
                cost_bound_usd=made.step.bound_usd or Decimal(0),
                finish_reason=closing.finish_reason,
            )
        )

    def _accept(self, attempt: uuid.UUID | None, note: str | None, made: Made | None) -> Rest:
        """End the job with the answer just made, or (best effort) with an earlier one that is stored already."""
        if note:
            self._notes.append(note)
        closing = made.closing if made else None
        if attempt is not None:
            return Rest(Move.succeed(self._job.id, self._job.token, attempt, closing), "succeeded")
        assert made is not None, "a verdict accepts only what was made"
        closing = msgspec.structs.replace(made.closing, outcome=Outcome.ACCEPTED)
        move = Move.succeed(self._job.id, self._job.token, closing.id, closing)
        return Rest(move, "succeeded", made.step.deployment.id)

    def _stopped(self) -> Rest:
        """Somebody stopped this job: its owner cancelled it, or this worker shuts down and gives it back."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if self._parts.leases.stop_reason(self._job.id) is Stop.CANCELLED:
            return Rest(Move.cancel(self._job.id, self._job.token, self.cut()), "cancelled")
        return Rest(Move.defer(self._job.id, self._job.token, 0.0, self.cut()), "released")

    def _unsent(self) -> Closing | None:
        """The closing of an attempt whose row may or may not have been written, and whose call was not made."""
        if self._attempt is None:
            return None
        return Closing(id=self._attempt.id, outcome=Outcome.NOT_SENT, cost_usd=Decimal(0), cost_basis="usage")

    def cut(self) -> Closing | None:
        """The closing of the call in flight, if there is one."""
        return self._attempt.cut() if self._attempt else None

    async def _settle(self, rest: Rest) -> str:
        """Write the job's rest and the attempt's bill together; a stale token costs only the job half."""
        receipt = self._plan.receipt
        if self._notes:
            receipt = msgspec.structs.replace(receipt, notes=(*receipt.notes, *self._notes[-MOST_NOTES:]))
        told = rest.move.with_story(receipt, self._adaptations, intent_kept=self._intent_kept())
        if not await self._write(told):
            return LOST
        failpoints.hit("committed_before_signal")
        if rest.word == "deferred" and self._unaffordable:
            await self._parts.look_again(self._job.id, min(self._unaffordable))
        if rest.word == LOST or (told.state is not None and told.state.is_terminal):
            self._parts.announce(self._job.id, self._ending(rest))
        return rest.word

    def _ending(self, rest: Rest) -> Ending | None:
        """What can be told along with the end of a job that somebody waits for: that its only call answered it."""
        is_only_call = self._job.claims == 1 and not self._past
        if rest.deployment is None or not is_only_call or not self._parts.is_urgent(self._job):
            return None
        return answered_at_once(rest.move, rest.deployment, len(self._adaptations))

    async def _write(self, move: Move) -> bool:
        """Book what has happened, however long Postgres is away: it was paid for. True while the token holds.

        The lease is beaten for meanwhile; if it is lost all the same, the token refuses the move, not the bill.
        """
        while True:
            try:
                return await self._parts.moves.add(move, at_once=self._parts.is_urgent(self._job))
            except StoreUnavailable:
                await asyncio.sleep(WRITE_AGAIN_S)

    def _intent_kept(self) -> bool | None:
        """Whether the latency intent was met; None when there was none. Cost and needs are kept by construction."""
        most_ms = self._job.intent.max_latency_ms
        return None if most_ms is None else self._spent_ms <= most_ms
