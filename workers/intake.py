"""Takes work in: answers bells, polls when none came, and runs every claimed job under a lease."""

import asyncio
import functools
import logging
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from jobs import failpoints, meters
from jobs.failures import Failure, FailureKind
from jobs.job import Job
from jobs.lanes import TERMS, Lane
from jobs.store.direct import Line
from jobs.store.lifecycle import Claimed, claim_polled, claim_rung
from jobs.store.rows import Closing, Move
from jobs.store.session import StoreUnavailable
from routing.plan import UnknownName
from workers.claims import Claims
from workers.leases import Stop
from workers.parts import Parts
from workers.runner import Runner

log = logging.getLogger(__name__)
BY_BELL, BY_POLL = meters.CLAIMED.labels("bell"), meters.CLAIMED.labels("poll")
GIVE_BACK_S = 10.0
"""Longest wait for the writes that give jobs back."""
IDLE_POLLS, BUSY_POLLS = 4, 20
"""Looks at the rows in each `poll_s` of silence, and when more jobs wait than there was room for."""
NOTHING = "0 claimed"


class Intake:
    """One per process. `answer` carries a bell's jobs and returns when they rest; `poll` runs for ever.

    In quarantine it has one job at a time, whether a bell or the poll brought it: who dies there was alone.
    """

    def __init__(self, parts: Parts, lanes: Sequence[Lane]) -> None:
        self._parts = parts
        self._lanes = tuple(lanes)
        self._worker = parts.settings.worker
        self._heard_at_s = time.monotonic()
        self._room = asyncio.Semaphore(self._worker.calls_in_flight)
        self._answering = 0
        self._drained_by_s: float | None = None
        self._claims = Claims(self._rung)
        self._alone = asyncio.Lock() if Lane.QUARANTINE in self._lanes else None

    @property
    def _draining(self) -> bool:
        return self._drained_by_s is not None

    async def answer(self, job_ids: Sequence[uuid.UUID]) -> str:
        """Carry the jobs of a bell that still wait; returns one line for Flower: `9 succeeded, 1 deferred`."""
        self._heard_at_s = time.monotonic()
        failpoints.hit("popped_before_claim")
        if self._draining or not job_ids:
            return NOTHING
        rung = job_ids[:1] if self._alone else job_ids
        self._answering += 1
        try:
            return await self._work(functools.partial(self._claims.of, rung))
        finally:
            self._answering -= 1

    async def _work(self, claim: Callable[[], Awaitable[list[Job]]]) -> str:
        """Claim, and carry until all rest."""
        async with self._alone or nullcontext():
            return await self._carry(await claim())

    async def poll(self) -> None:
        """Claim straight from Postgres when no bell came for `poll_s`: lost pops, an absent Redis cost seconds."""
        carried: set[asyncio.Task[str]] = set()
        is_busy = False
        while not self._draining:
            await asyncio.sleep(self._worker.poll_s / (BUSY_POLLS if is_busy else IDLE_POLLS))
            try:
                is_busy = await (self._poll_alone() if self._alone else self._poll_once(carried))
            except Exception:  # a border: whatever one poll met, the next one must come
                log.exception("a poll failed")

    async def _poll_once(self, carried: set[asyncio.Task[str]]) -> bool:
        """Claim until nothing is left or nothing is free; `carried` holds the tasks of what was claimed.

        True when more may wait than this process had room for: then it looks again as soon as a few have ended.
        """
        while self._is_silent():
            most = self._free()
            if most <= 0:
                return True
            jobs = await self._polled(most)
            if not jobs:
                return False
            log.info("poll: claimed %d jobs whose bells did not come", len(jobs))
            task = asyncio.create_task(self._carry(jobs))
            carried.add(task)
            task.add_done_callback(carried.discard)
        return False

    async def _poll_alone(self) -> bool:
        """One job, if none is in hand; True when it found one, so that the next follows at once."""
        if not self._is_silent() or (self._alone and self._alone.locked()):
            return False
        return await self._work(functools.partial(self._polled, 1)) != NOTHING

    def _is_silent(self) -> bool:
        """No bell came for a while, or none can come: every slot is held by one, though there is room for more calls.

        (Where jobs trickle in, bells are small; many slots' worth of them must not leave a process half idle.)
        """
        if self._draining:
            return False
        return self._answering >= self._worker.slots or time.monotonic() - self._heard_at_s >= self._worker.poll_s

    def _free(self) -> int:
        bell_size = max(TERMS[lane].bell_size for lane in self._lanes)
        capacity = min(self._worker.calls_in_flight, self._worker.slots * bell_size)
        return min(capacity - len(self._parts.leases), 4 * bell_size)

    async def _rung(self, job_ids: Sequence[uuid.UUID]) -> list[Job]:
        claim = functools.partial(claim_rung, ids=job_ids, lease_s=self._worker.lease_s)
        jobs = await self._claim(self._parts.claims.statement, claim)
        BY_BELL.inc(len(jobs))
        return jobs

    async def _polled(self, most: int) -> list[Job]:
        worker = self._worker
        claim = functools.partial(
            claim_polled, lanes=self._lanes, most=most, silence_s=worker.poll_s, lease_s=worker.lease_s
        )
        jobs = await self._claim(self._parts.claims.transaction, claim)
        BY_POLL.inc(len(jobs))
        return jobs

    async def _claim(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Line]],
        claim: Callable[[Line], Awaitable[Claimed]],
    ) -> list[Job]:
        """Claim, or nothing when Postgres is away: the rows wait there and are found again."""
        if self._draining:
            return []
        try:
            async with opened() as line:
                jobs, unreadable = await claim(line)
        except StoreUnavailable:
            log.warning("claim: Postgres is away; the jobs stay queued there")
            return []
        for move in unreadable:
            await self._fail_unread(move)
        if jobs:
            failpoints.hit("claimed")
        return jobs

    async def _fail_unread(self, move: Move) -> None:
        """Its neighbours are carried whatever becomes of it: unwritten, it is found again after its lease."""
        with suppress(StoreUnavailable):
            await self._parts.moves.add(move, at_once=True)
            self._parts.announce(move.job_id)

    async def _carry(self, jobs: list[Job]) -> str:
        """Run jobs side by side until all rest."""
        if not jobs:
            return NOTHING
        tasks = []
        for job in jobs:
            task = asyncio.create_task(self._carry_one(job, time.monotonic() + job.time_left_s))
            self._parts.leases.take(job, task)
            tasks.append(task)
        words = Counter(await asyncio.gather(*tasks))
        return ", ".join(f"{count} {word}" for word, count in words.most_common())

    async def _carry_one(self, job: Job, ends_at_s: float) -> str:
        with self._parts.telemetry.carrying(job) as carried:
            carried.word = await self._carry_bound(job, ends_at_s)
        return carried.word

    async def _carry_bound(self, job: Job, ends_at_s: float) -> str:
        """One of the house's few borders: whatever a job does, its neighbours in the bell go on."""
        runner: Runner | None = None
        try:
            if not self._parts.leases.begin(job.id):
                return await self._give_back(job)
            async with self._room:
                plan = self._parts.plan(job)
                if isinstance(plan, UnknownName):
                    return await self._fail(job, plan.failure)
                runner = Runner(self._parts, job, plan, ends_at_s)
                return await runner.run()
        except StoreUnavailable:
            log.warning("Postgres is away; the job's lease runs out and it is rescued")
            return "left to rescue"
        except asyncio.CancelledError:
            return await self._give_back(job)
        except Exception:
            log.exception("a defect of ours ended the job")
            failure = Failure(
                FailureKind.INTERNAL, "a defect of Tokenyard; the worker's log has it under this job's id"
            )
            return await self._fail(job, failure, runner.cut() if runner is not None else None)

    async def _fail(self, job: Job, failure: Failure, closing: Closing | None = None) -> str:
        """End a job that can't even begin, or that a defect of ours ended, with the call it had open."""
        self._parts.leases.rest(job.id)
        await self._parts.moves.add(Move.fail(job.id, job.token, failure, closing), at_once=True)
        self._parts.announce(job.id)
        return "failed"

    async def _give_back(self, job: Job) -> str:
        """Stopped before its first step: cancelled by its owner, or the worker shuts down."""
        if self._parts.leases.stop_reason(job.id) is Stop.CANCELLED:
            self._parts.leases.rest(job.id)
            await self._parts.moves.add(Move.cancel(job.id, job.token, None), at_once=True)
            return "cancelled"
        self._parts.leases.rest(job.id)
        await self._parts.moves.add(Move.defer(job.id, job.token, 0.0, None), at_once=True)
        return "released"

    async def drain(self, patience_s: float) -> None:
        """Take nothing new; let calls finish for `patience_s`, then give the rest back, no attempt burned.

        Who asks again waits for the same end: patience counts from the first time.
        """
        if self._drained_by_s is None:
            self._drained_by_s = time.monotonic() + patience_s
        await self._parts.leases.ended(max(0.0, self._drained_by_s - time.monotonic()))
        self._parts.leases.stop_all(Stop.RELEASED)
        await self._parts.leases.ended(GIVE_BACK_S)
