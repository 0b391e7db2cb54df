"""F15: the provider answers 429 with a Retry-After; one worker's answer stops them all, and every job ends.

Where only one model is limited, it alone is stopped, and asked once in each of the times that the provider names.
"""

import asyncio
import time
from dataclasses import dataclass

import httpx2

from cli.processes import OTHER, SMALL
from jobs.ids import show
from tests.faults.harness import Ground, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

LANES = ("standard", "bulk")
WORKERS = len(LANES)
GRACE_S = 0.25
"""A call that had passed the gate when the key closed has left by then."""
FIRST = "select min(closed_at) from attempts where failure = 'rate_limited'"
DURING = f"""
select count(*) from attempts, (select min(closed_at) as at from attempts where failure = 'rate_limited') first
where opened_at > first.at + interval '{GRACE_S} s' and opened_at < first.at + make_interval(secs => %(closed_s)s)
"""
LIMITED = "select count(*) from attempts where failure = 'rate_limited'"


@dataclass(frozen=True)
class Case:
    """What the storm did."""

    findings: Findings
    limited: int
    """Calls that got a 429, those in hand when the first came included."""
    during: int
    """Calls that left while the key was closed."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if not self.limited:
            found.append("no call was rate limited: nothing was proved")
        if self.during > WORKERS:
            found.append(f"{self.during} calls left while the key was closed")
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        return found

    def line(self) -> str:
        storm = f"limited={self.limited} during={self.during}"
        return f"F15 {self.findings.line()} workers={WORKERS} {storm} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, closed_s: float, limit_s: float) -> Case:
    """One worker's half of the jobs meets the storm; the other worker's half comes while the key is closed.

    Each carries a lane of its own, so the second knows of the closing only what the fleet told it.
    """
    async with Yard.opened(ground) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        for lane in LANES:
            yard.start_worker([lane])
        warm = [await yard.client().submit(2, lane) for lane in LANES]
        await yard.ended([job_id for job_ids in warm for job_id in job_ids])
        await ground.script({"kind": "status", "status": 429, "retry_after_s": closed_s, "for_s": closed_s})
        try:
            accepted = await yard.client().submit(jobs // 2, LANES[0])

            async def is_closed() -> bool:
                ((first,),) = await yard.rows(FIRST)
                return first is not None

            await until(is_closed, "a call is rate limited")
            accepted += await yard.client().submit(jobs - jobs // 2, LANES[1])
            await yard.ended(accepted, limit_s)
        finally:
            await ground.script()
        ((limited,),) = await yard.rows(LIMITED)
        ((during,),) = await yard.rows(DURING, closed_s=closed_s)
        case = Case(await oracle.judge(accepted), limited, during)
        report(case.line())
        return case


HOT = OTHER
BESIDE = f"""
[[models]]
id = "{HOT}"
context_tokens = 32_768
source = "a test"
[[deployments]]
model = "{HOT}"
provider = "lab"
upstream = "{HOT}"
is_sandbox = true
price = {{ input = "0.36", output = "0.40", valid_from = "2026-05-01", source = "a test" }}
"""
CALLS = "select opened_at, failure from attempts where model = %(model)s order by opened_at"
HURT = "select count(*) from jobs where model = %(model)s and (state <> 'succeeded' or claims > 1)"


@dataclass(frozen=True)
class ModelCase:
    """What a model that is always limited did to another one with the same key."""

    findings: Findings
    closed_s: float
    hot: list[float]
    """When the limited model was called (s)."""
    hurt: int
    """Jobs of the healthy model that did not succeed, or had to come twice."""
    alone_s: float
    beside_s: float
    """How long the healthy model's jobs took without and with the other's."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        most = max((sum(at <= each < at + self.closed_s for each in self.hot) for at in self.hot), default=0)
        if most > 2:
            found.append(f"the limited model was called {most} times within {self.closed_s} s")
        if len(self.hot) < 2:
            found.append(f"the limited model was called {len(self.hot)} times: nothing was proved")
        if self.hurt:
            found.append(f"{self.hurt} jobs of the healthy model were held up")
        return found

    def line(self) -> str:
        times = f"hot={len(self.hot)} alone={self.alone_s:.1f}s beside={self.beside_s:.1f}s"
        return f"F15 one model: {self.findings.line()} {times} {verdict(self.faults)}"


async def run_model(ground: Ground, jobs: int, report: Report, *, closed_s: float, windows: int) -> ModelCase:
    """As many jobs of a model that is always limited as of a healthy one, by turns, with one key."""
    async with Yard.opened(ground, provider=BESIDE) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        yard.start_worker(LANES)
        client = yard.client()
        began_s = time.monotonic()
        healthy = await client.submit(jobs, LANES[0], model=SMALL)
        await yard.ended(healthy)
        alone_s, began_s = time.monotonic() - began_s, time.monotonic()
        await ground.script({"kind": "status", "status": 429, "retry_after_s": closed_s, "model": HOT})
        try:
            more, hot = await asyncio.gather(*(client.submit(jobs, LANES[0], model=name) for name in (SMALL, HOT)))
            await yard.ended(more)
            beside_s = time.monotonic() - began_s
            await asyncio.sleep(closed_s * windows)
            rows = await yard.rows(CALLS, model=HOT)
        finally:
            await ground.script()
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {yard.key}"}) as canceller:
            for job_id in hot:
                await canceller.post(f"{yard.url}/v1/jobs/{show('job', job_id)}/cancel")
        await yard.ended(hot)
        ((hurt,),) = await yard.rows(HURT, model=SMALL)
        first = rows[0][0] if rows else None
        times = [(at - first).total_seconds() for at, _ in rows]
        findings = await oracle.judge([*healthy, *more, *hot])
        case = ModelCase(findings, closed_s, times, hurt, alone_s, beside_s)
        report(case.line())
        return case
