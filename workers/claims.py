"""Claims in company: the ids of bells that come while others are being claimed are claimed together next."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from jobs.job import Job

CLAIMERS = 2
"""Claims on their way at once."""

Claiming = Callable[[Sequence[uuid.UUID]], Awaitable[list[Job]]]


class Claims:
    """One transaction for what waits, however many bells brought it; each bell gets its own jobs."""

    def __init__(self, claim: Claiming) -> None:
        self._claim = claim
        self._waiting: list[tuple[Sequence[uuid.UUID], asyncio.Future[list[Job]]]] = []
        self._claiming: set[asyncio.Task[None]] = set()

    async def of(self, job_ids: Sequence[uuid.UUID]) -> list[Job]:
        """The jobs of a bell that were still to be had. Raises what the claim raised."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[list[Job]] = loop.create_future()
        self._waiting.append((job_ids, told))
        if len(self._claiming) < CLAIMERS:
            self._claiming.add(loop.create_task(self._work()))
        return await told

    async def _work(self) -> None:
        try:
            await self._claim_all()
        finally:  # at once, not by a callback of a later turn: who comes in between would find nobody at work
            self._claiming.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _claim_all(self) -> None:
        while self._waiting:
            bells, self._waiting = self._waiting, []
            try:
                jobs = await self._claim(list({job_id for job_ids, _ in bells for job_id in job_ids}))
            except BaseException as error:
                _refuse([told for _, told in bells], error)
                if not isinstance(error, Exception):
                    raise
                continue
            found = {job.id: job for job in jobs}
            for job_ids, told in bells:
                mine = [
                    found.pop(job_id) for job_id in job_ids if job_id in found
                ]  # of two bells with one id the first
                if not told.done():
                    told.set_result(mine)


def _refuse(waiting: Sequence["asyncio.Future[list[Job]]"], error: BaseException) -> None:
    for told in waiting:
        if told.done():
            continue
        if isinstance(error, Exception):
            told.set_exception(error)
        else:
            told.cancel()
