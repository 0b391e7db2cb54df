"""Claims in company: the ids of bells that come while others are being claimed are claimed together next."""

import uuid
from collections.abc import Awaitable, Callable, Sequence

from jobs.coalescer import Coalescer
from jobs.job import Job

Claiming = Callable[[Sequence[uuid.UUID]], Awaitable[list[Job]]]


class Claims:
    """One claim for what waits, however many bells brought it; each bell gets its own jobs."""

    def __init__(self, claim: Claiming) -> None:
        self._claim = claim
        self._bells: Coalescer[Sequence[uuid.UUID], list[Job]] = Coalescer(self._claim_all)

    async def of(self, job_ids: Sequence[uuid.UUID]) -> list[Job]:
        """The jobs of a bell that were still to be had. Raises what the claim raised."""
        return await self._bells.ask(job_ids)

    async def _claim_all(self, bells: list[Sequence[uuid.UUID]]) -> list[list[Job]]:
        jobs = await self._claim(list({job_id for job_ids in bells for job_id in job_ids}))
        found = {job.id: job for job in jobs}
        # Of two bells with one id the first has the job.
        return [[found.pop(job_id) for job_id in job_ids if job_id in found] for job_ids in bells]
