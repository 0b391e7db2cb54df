"""Rings the bells of what was just committed: in the background, bounded, never awaited by a request."""

import asyncio
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from kombu.exceptions import OperationalError

from jobs.broker import PUBLISH_TIMEOUT_S, Bells
from jobs.lanes import TERMS, Lane
from jobs.signals import SUBMITTED, Signals

MOST_WAITING = 10_000
"""Ids waiting to ring; beyond it the oldest are forgotten, and the workers' two-second poll finds their jobs."""
THREADS = 2
APART_S = 0.008
"""Between two bells: what is announced meanwhile shares the second. A message costs Celery 2 CPU ms, a job in it 0.1; a
job that comes after a silence is rung for at once."""


class Ring:
    """Collects the ids of interactive jobs and rings one bell for those that came together; nudges the dispatcher."""

    def __init__(self, bells: Bells, signals: Signals) -> None:
        self._bells = bells
        self._signals = signals
        self._ids: deque[uuid.UUID] = deque(maxlen=MOST_WAITING)
        self._nudge = False
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ring")
        self._busy = asyncio.Semaphore(THREADS)

    def announce(self, lane: Lane, job_id: uuid.UUID | None = None) -> None:
        """Say that a job was committed: interactive ones ring, the others are the dispatcher's to release."""
        if lane is Lane.INTERACTIVE and job_id is not None:
            self._ids.append(job_id)
        else:
            self._nudge = True
        self._wake.set()

    def nudge(self) -> None:
        """Have the dispatcher look: jobs that waited are due."""
        self._nudge = True
        self._wake.set()

    async def work(self) -> None:
        """Ring and nudge, for ever; cancel it to stop."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._nudge:
                self._nudge = False
                await self._signals.tell(SUBMITTED)
            while self._ids:
                most = min(TERMS[Lane.INTERACTIVE].bell_size, len(self._ids))
                rung_at_s = time.monotonic()
                await self._ring([self._ids.popleft() for _ in range(most)])
                if most < TERMS[Lane.INTERACTIVE].bell_size:
                    await asyncio.sleep(APART_S - (time.monotonic() - rung_at_s))

    async def _ring(self, job_ids: list[uuid.UUID]) -> None:
        """One bell. A thread that hangs on a dead Redis is left behind for a while, not waited for."""
        await self._busy.acquire()
        ringing = asyncio.get_running_loop().run_in_executor(self._threads, self._bells.ring, Lane.INTERACTIVE, job_ids)
        ringing.add_done_callback(self._after)
        with suppress(TimeoutError, OperationalError, OSError):
            await asyncio.wait_for(asyncio.shield(ringing), PUBLISH_TIMEOUT_S)

    def _after(self, ringing: "asyncio.Future[None]") -> None:
        self._busy.release()
        if not ringing.cancelled():
            ringing.exception()

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
