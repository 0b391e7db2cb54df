"""F02: a process dies at each failpoint in turn; another one takes over, nothing is lost, little is called twice."""

import asyncio
import signal
import time
import uuid
from dataclasses import dataclass

from jobs.failpoints import JOB_POINTS
from tests.faults.harness import LANES, Ground, Running, Yard, until
from tests.faults.harness_load import Client, Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

API_POINT = "submitted_before_bell"
BELL_POINTS = frozenset({"popped_before_claim", "claimed"})
"""Passed once a bell, the others once a job."""
WORKER_POINTS = tuple(sorted(JOB_POINTS - {API_POINT}))
RESCUED = "select id from jobs where id = any(%(ids)s) and deaths > 0"
LAST_END = "select extract(epoch from max(finished_at))::float8 from jobs where id = any(%(ids)s)"


@dataclass(frozen=True)
class Case:
    """What one point did."""

    point: str
    findings: Findings
    rescued: frozenset[uuid.UUID]
    """Jobs that were in the dead process's hands."""
    recovery_s: float
    """From the death to the end of the last rescued job; of the last job, when none had to be rescued."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if any(count > 1 for count in self.findings.extra_by_job.values()):
            found.append("a job was called more than once too often")
        if not self.findings.extra_by_job.keys() <= self.rescued:
            found.append("a job that was not in the dead worker's hands was called twice")
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        return found

    def line(self) -> str:
        in_hand = f"rescued={len(self.rescued)} recovery_s={self.recovery_s:.1f}"
        return f"F02 point={self.point} {self.findings.line()} {in_hand} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, lease_s: float, limit_s: float) -> list[Case]:
    """All points in one yard: each lane takes its share of them, one after the other, on workers of its own."""
    async with Yard.opened(ground, lease_s=lease_s) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        shares = [[API_POINT, *WORKER_POINTS][lane :: len(LANES)] for lane in range(len(LANES))]
        cases: list[Case] = []

        async def chain(lane: str, points: list[str]) -> None:
            relief = await _relief(yard, lane)
            for point in points:
                died = _api_dies if point == API_POINT else _worker_dies
                accepted, died_at_s = await died(yard, lane, point, yard.client(), jobs)
                relief.send(signal.SIGCONT)
                await yard.ended(accepted, limit_s)
                relief.send(signal.SIGSTOP)
                cases.append(await _case(yard, oracle, point, accepted, died_at_s))
                report(cases[-1].line())

        await asyncio.gather(*(chain(lane, points) for lane, points in zip(LANES, shares, strict=True)))
        return cases


async def _relief(yard: Yard, lane: str) -> Running:
    """A lane's second worker, frozen until the first has died: booting one for each point would take most of the time.

    It proves itself on one job before it freezes.
    """
    relief = yard.start_worker([lane])
    await yard.ended(await yard.client().submit(1, lane))
    relief.send(signal.SIGSTOP)
    return relief


async def _worker_dies(yard: Yard, lane: str, point: str, client: Client, jobs: int) -> tuple[list[uuid.UUID], float]:
    """Submit to a lane whose only worker dies in the middle: the accepted ids, and when it died (epoch seconds)."""
    passage = 2 if point in BELL_POINTS else max(3, jobs // 4)
    doomed = yard.start_worker([lane], die_at=f"{point}:{passage}")
    accepted = await client.submit(jobs, lane, stream=point == "mid_stream")
    await until(lambda: not doomed.is_alive, f"the worker dies at {point}")
    assert doomed.exit_code == -signal.SIGKILL, doomed.last_words()
    return accepted, time.time()


async def _api_dies(yard: Yard, lane: str, point: str, client: Client, jobs: int) -> tuple[list[uuid.UUID], float]:
    """Submit to an API that dies after a commit and before its 202; the client turns to the other one."""
    second = client.url
    client.url, doomed = await yard.start_api(die_at=f"{point}:{max(3, jobs // 4)}")
    submitting = asyncio.ensure_future(client.submit(jobs, lane))
    await until(lambda: not doomed.is_alive, "the API dies")
    died_at_s = time.time()
    assert doomed.exit_code == -signal.SIGKILL, doomed.last_words()
    client.url = second
    return await submitting, died_at_s


async def _case(yard: Yard, oracle: Oracle, point: str, accepted: list[uuid.UUID], died_at_s: float) -> Case:
    rescued = frozenset(row[0] for row in await yard.rows(RESCUED, ids=accepted))
    ((ended_s,),) = await yard.rows(LAST_END, ids=list(rescued) or accepted)
    return Case(point, await oracle.judge(accepted), rescued, max(0.0, ended_s - died_at_s))
