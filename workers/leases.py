"""What this process holds: the leases it beats for, and the running jobs that somebody may want to stop."""

import asyncio
import logging
import os
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from jobs import meters
from jobs.job import Job
from jobs.settings import Worker as WorkerSettings
from jobs.store.beats import Beats
from jobs.store.session import StoreUnavailable
from workers.loop import LoopThread

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""After a beat that found Postgres away: each second without one is a second of every lease here."""


class Stop(Enum):
    """Why a running job is stopped from outside."""

    CANCELLED = "cancelled"
    RELEASED = "released"


class Hold:
    """One running job: its task, and why it was told to stop, if it was."""

    def __init__(self, token: uuid.UUID, task: "asyncio.Task[str]") -> None:
        self.token = token
        self.task = task
        self.stop: Stop | None = None
        self.is_resting = False
        self.has_begun = False


class Leases:
    """The jobs in hand. The loop's thread takes and drops; the beat's thread reads a copy."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._holds: dict[uuid.UUID, Hold] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def take(self, job: Job, task: "asyncio.Task[str]") -> Hold:
        """Begin to beat for a claimed job, until its task is done."""
        hold = self._holds[job.id] = Hold(job.token, task)
        task.add_done_callback(lambda _: self._drop(job.id, hold))
        return hold

    def _drop(self, job_id: uuid.UUID, hold: Hold) -> None:
        if self._holds.get(job_id) is hold:
            del self._holds[job_id]

    def begin(self, job_id: uuid.UUID) -> bool:
        """The job's task makes its first step; False when somebody has stopped it before.

        A task that is cancelled before that step never runs a line: it could not even give its job back.
        """
        hold = self._holds.get(job_id)
        if hold is None:
            return True
        hold.has_begun = True
        return hold.stop is None

    def held(self) -> dict[uuid.UUID, uuid.UUID]:
        """A copy of {job id: token}; safe from any thread (dict.copy is one step under the GIL)."""
        return {job_id: hold.token for job_id, hold in self._holds.copy().items()}

    def running(self) -> set[uuid.UUID]:
        """Jobs whose end is not being written yet; safe from any thread."""
        return {job_id for job_id, hold in self._holds.copy().items() if not hold.is_resting}

    def stop_reason(self, job_id: uuid.UUID) -> Stop | None:
        """Why this job was told to stop; None if it was not."""
        hold = self._holds.get(job_id)
        return hold.stop if hold else None

    def rest(self, job_id: uuid.UUID) -> None:
        """The job's end is being written: it can no longer be stopped, only beaten for."""
        hold = self._holds.get(job_id)
        if hold is not None:
            hold.is_resting = True

    def stop(self, job_ids: list[uuid.UUID], reason: Stop) -> None:
        """Cancel the calls of these jobs, those of them that are here. On the loop's thread."""
        for job_id in job_ids:
            hold = self._holds.get(job_id)
            if hold is not None and hold.stop is None and not hold.is_resting:
                hold.stop = reason
                if hold.has_begun:
                    hold.task.cancel()

    async def ended(self, patience_s: float) -> None:
        """Return when all that is in hand now has come to rest, or after `patience_s`."""
        tasks = [hold.task for hold in self._holds.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)

    def stop_all(self, reason: Stop) -> None:
        """Cancel everything in hand. On the loop's thread."""
        self.stop(list(self._holds), reason)


class Beater:
    """Beats from its own thread, so that a busy loop does not lose its leases, and a frozen one does.

    A loop that has not moved for `max_lag_s` is not beaten for; when its leases have run out too, so that its jobs go
    on elsewhere, nothing good can come of this process any more: it ends, and its supervisor starts another.
    """

    def __init__(
        self, beats: Beats, leases: Leases, loop: LoopThread, worker: WorkerSettings, count: Callable[[int], None]
    ) -> None:
        """`count` is told after every beat how many worker processes live, this one included."""
        self._beats = beats
        self._leases = leases
        self._loop = loop
        self._worker = worker
        self._count = count
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tokenyard-beat", daemon=True)

    def start(self) -> None:
        """Be seen at once, then begin to beat."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connection; the registry knows this process no more."""
        self._ended.set()
        self._thread.join(timeout=10)
        with suppress(StoreUnavailable):
            self._beats.leave()
        self._beats.close()

    def _run(self) -> None:
        pause_s = self._worker.beat_s
        while not self._ended.wait(pause_s):
            try:
                pause_s = self._worker.beat_s if self._look_and_beat() else min(self._worker.beat_s, AGAIN_S)
            except Exception:  # a border: whatever one beat met, the next one must come, or all leases are lost
                meters.BEATS_FAILED.inc()
                log.exception("a beat failed")

    def _look_and_beat(self) -> bool:
        """One beat, if the loop moves; True when all is well."""
        lag_s = self._loop.lag_s()
        if lag_s <= self._worker.max_lag_s:
            return self.beat(lag_s) and not lag_s
        log.error("the event loop has not moved for %.0f s: leases are left to run out", lag_s)
        if lag_s > self._worker.max_lag_s + self._leases.lease_s:
            self._end_if_still_stuck()
        return False

    def _end_if_still_stuck(self) -> None:
        """A process that was stopped and goes on now answers within this pause; it must not die of its sleep."""
        if not self._ended.wait(AGAIN_S) and self._loop.lag_s():
            log.critical("the event loop is stuck and its jobs go on elsewhere: this process ends")
            os._exit(os.EX_SOFTWARE)

    def beat(self, lag_s: float = 0.0) -> bool:
        """Renew all leases once, and be seen; False when Postgres is away. A lost lease needs no action here.

        The token stands before every later write, so a job that moved on can neither be ended nor open another
        call from here; its call in flight is left to finish, because its bill must be booked.
        """
        held = self._leases.held()
        try:
            kept, live_workers = self._beats.beat(held, self._leases.lease_s, lag_s)
        except StoreUnavailable:
            meters.BEATS_FAILED.inc()
            log.warning("beat: Postgres is away; %d leases were not renewed", len(held))
            return False
        self._count(live_workers)
        lost = (held.keys() - kept.keys()) & self._leases.running()
        if lost:
            log.warning("beat: %d jobs were rescued elsewhere; their calls here are left to finish", len(lost))
        cancelled = [job_id for job_id, asked in kept.items() if asked]
        if cancelled:
            self._loop.start(self._cancel(cancelled))
        return True

    async def _cancel(self, job_ids: list[uuid.UUID]) -> None:
        self._leases.stop(job_ids, Stop.CANCELLED)
