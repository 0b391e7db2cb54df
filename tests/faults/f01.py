"""F01: a random worker is killed every few seconds under load and started again at once."""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass

from tests.faults.harness import Ground, Running, Yard
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

WORKERS = 2
LANE = "bulk"
RUNNING = "select id from jobs where state = 'running'"


@dataclass(frozen=True)
class Case:
    """What the kills did."""

    findings: Findings
    kills: int
    in_flight: int
    """Jobs that were running at the kills, summed over the kills: the most calls that can have been made again."""
    recovery_s: float
    """Longest time from a kill to the end of a job that ran at it."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if not self.kills:
            found.append("nobody was killed: nothing was proved")
        if self.findings.extra_calls > self.in_flight:
            found.append("more calls were made again than there were in flight")
        return found

    def line(self) -> str:
        states = ",".join(f"{state}:{count}" for state, count in sorted(self.findings.states.items()))
        did = f"kills={self.kills} in_flight={self.in_flight} recovery_s={self.recovery_s:.1f} states={states}"
        return f"F01 {self.findings.line()} {did} {verdict(self.faults)}"


class Killer:
    """Kills a worker every `every_s` seconds and starts another; keeps who was running when."""

    def __init__(self, yard: Yard, seed: int, every_s: float) -> None:
        self._yard = yard
        self._chance = random.Random(seed)
        self._every_s = every_s
        self._workers: list[Running] = [yard.start_worker([LANE]) for _ in range(WORKERS)]
        self.struck: list[tuple[float, frozenset[uuid.UUID]]] = []

    async def kill(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(self._every_s)
            place = self._chance.randrange(WORKERS)
            running = frozenset(row[0] for row in await self._yard.rows(RUNNING))
            self._workers[place].end()
            self.struck.append((time.time(), running))
            self._workers[place] = self._yard.start_worker([LANE])


async def run(
    ground: Ground, jobs: int, report: Report, *, kills: int, seed: int, every_s: float, limit_s: float
) -> Case:
    """Submit a wave for each kill, so that there is always work in flight."""
    async with Yard.opened(ground, lease_s=5.0) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        yard.start_worker(["quarantine"])  # who is killed so often has jobs in hand that were there before
        killer = Killer(yard, seed, every_s)
        killing = asyncio.ensure_future(killer.kill(kills))
        accepted: list[uuid.UUID] = []
        for _ in range(kills):
            began_s = time.monotonic()
            accepted += await yard.client().submit(max(1, jobs // kills), LANE)
            await asyncio.sleep(max(0.0, every_s - (time.monotonic() - began_s)))
        await killing
        await yard.ended(accepted, limit_s)
        ended = dict(await yard.rows("select id, extract(epoch from finished_at)::float8 from jobs"))
        case = Case(
            findings=await oracle.judge(accepted),
            kills=len(killer.struck),
            in_flight=sum(len(running) for _, running in killer.struck),
            recovery_s=max(
                (ended[job] - at_s for at_s, running in killer.struck for job in running if job in ended), default=0.0
            ),
        )
        report(case.line())
        return case
