"""F09: bells are popped from Redis and lost; the rows know better, so every job still ends."""

import asyncio
import statistics
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis

from tests.faults.harness import LANES, Ground, Yard
from tests.faults.harness_load import Report, job_ids_in
from tests.faults.harness_oracles import Findings, Oracle, verdict

WAVES = 4
DELAYS = """
select extract(epoch from started_at - created_at)::float8 from jobs where id = any(%(ids)s) and started_at is not null
"""


class Thief:
    """Pops bells beside the workers and tells nobody: what a consumer does that dies between BRPOP and its answer."""

    HANDS = 8
    """Waiting pops: Redis serves whoever waits longest, so most bells come here."""

    def __init__(self, url: str, most: int) -> None:
        self._client = redis.Redis.from_url(url)
        self._left = most
        self.bells = 0
        self.job_ids: set[uuid.UUID] = set()

    async def steal(self) -> None:
        """Until `most` bells are stolen; cancel it to stop earlier."""
        await asyncio.gather(*(self._hand() for _ in range(self.HANDS)))

    async def _hand(self) -> None:
        while self._left > 0:
            self._left -= 1
            found: Any = await self._client.brpop(list(LANES), timeout=1)
            if found is None:
                self._left += 1
                continue
            self.bells += 1
            self.job_ids |= set(job_ids_in(found[1]))

    async def close(self) -> None:
        await self._client.aclose()


@dataclass(frozen=True)
class Case:
    """What the thief did."""

    findings: Findings
    bells: int
    stolen: int
    """Jobs named by the stolen bells."""
    delays_s: tuple[float, ...]
    """Of the stolen jobs, from submit to start."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if not self.bells:
            found.append("no bell was stolen: nothing was proved")
        if self.findings.extra_calls:
            found.append("a lost bell made a call twice")
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        return found

    def line(self) -> str:
        delays = self.delays_s or (float("nan"),)
        delay = f"delay_s p50={statistics.median(delays):.1f} max={max(delays):.1f}"
        lost = f"popped_and_lost={self.bells} jobs_in_them={self.stolen} recovered={len(self.delays_s)}"
        return f"F09 {self.findings.line()} {lost} {delay} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, bells: int, limit_s: float) -> Case:
    """Submit in waves over all lanes while up to `bells` bells are stolen."""
    async with Yard.opened(ground) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        yard.start_worker()
        await yard.ended(await yard.client().submit(1, "standard"))
        thief = Thief(yard.redis_url, bells)
        stealing = asyncio.ensure_future(thief.steal())
        accepted: list[uuid.UUID] = []
        for wave in range(WAVES):
            accepted += await yard.client().submit(jobs // WAVES, LANES[wave % len(LANES)])
        await yard.ended(accepted, limit_s)
        stealing.cancel()
        with suppress(asyncio.CancelledError):
            await stealing
        await thief.close()
        delays = await yard.rows(DELAYS, ids=list(thief.job_ids))
        case = Case(
            findings=await oracle.judge(accepted),
            bells=thief.bells,
            stolen=len(thief.job_ids),
            delays_s=tuple(row[0] for row in delays),
        )
        report(case.line())
        return case
