"""F05 and F06: jobs that kill their worker, or block its loop, on every run; they die alone, their neighbours live."""

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from jobs.failpoints import POISON_VARIABLE
from tests.faults.harness import Ground, Keeper, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

LANE = "bulk"
WORKERS = ([LANE], [LANE], ["quarantine"])
POISONS = {"F05": "POISON:kill", "F06": "POISON:block:3600"}
MAX_LAG_S = 1.0
JOBS = "select id, state, deaths, error->>'kind' from jobs"
EXITS = {"F05": -signal.SIGKILL, "F06": 70}
"""How a worker ends: by the job's own hand, or by its watchdog's (EX_SOFTWARE)."""


@dataclass(frozen=True)
class Case:
    """What the poisonous job did."""

    name: str
    findings: Findings
    deaths: int
    """Of the job, in the record."""
    verdict: tuple[str, str | None]
    """How the job ended, and its error's kind."""
    ended: tuple[tuple[str, int | None], ...]
    """Workers that ended: their lanes and exit codes."""
    innocents_failed: int
    innocents_suspected: int
    """Jobs that were in a worker's hands at two of its deaths, and survived quarantine."""
    took_s: float

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.innocents_failed:
            found.append(f"{self.innocents_failed} innocents did not succeed")
        if (self.deaths, self.verdict) != (3, ("failed", "worker_deaths")):
            found.append(f"the poisonous job ended as {self.verdict} after {self.deaths} deaths")
        if [code for _, code in self.ended] != [EXITS[self.name]] * 3:
            found.append(f"workers ended as {self.ended}")
        if [lanes for lanes, _ in self.ended].count("quarantine") != 1:
            found.append("the third death was not in quarantine")
        return found

    def line(self) -> str:
        innocents = f"innocents failed={self.innocents_failed} suspected={self.innocents_suspected}"
        did = f"deaths={self.deaths} {innocents} took_s={self.took_s:.1f}"
        return f"{self.name} {self.findings.line()} {did} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, lease_s: float, limit_s: float) -> list[Case]:
    """Two waves in one yard: the first with a job that kills, the second with one that blocks."""
    async with Yard.opened(ground, lease_s=lease_s, worker=f"max_lag_s = {MAX_LAG_S}") as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        keeper = Keeper(yard, WORKERS, {POISON_VARIABLE: "1"})
        keeping = asyncio.ensure_future(keeper.keep())
        cases = []
        for name in POISONS:
            cases.append(await _wave(yard, oracle, keeper, jobs, limit_s, name=name))
            report(cases[-1].line())
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        return cases


async def _wave(yard: Yard, oracle: Oracle, keeper: Keeper, jobs: int, limit_s: float, *, name: str) -> Case:
    """Good jobs with a bad one in their middle."""
    client, began_s, before = yard.client(), time.monotonic(), len(keeper.ends)
    good = await client.submit(jobs // 2, LANE)
    (bad,) = await client.submit(1, LANE, poison=POISONS[name])
    good += await client.submit(jobs - jobs // 2, LANE)
    await yard.ended([*good, bad], limit_s)
    await until(lambda: len(keeper.ends) >= before + 3, f"{name}: its workers end", limit_s)
    rows = {row[0]: row[1:] for row in await yard.rows(JOBS)}
    state, deaths, kind = rows[bad]
    return Case(
        name=name,
        findings=await oracle.judge([*good, bad]),
        deaths=deaths,
        verdict=(state, kind),
        ended=tuple(keeper.ends[before:]),
        innocents_failed=sum(rows[job][0] != "succeeded" for job in good),
        innocents_suspected=sum(rows[job][1] >= 2 for job in good),
        took_s=time.monotonic() - began_s,
    )
