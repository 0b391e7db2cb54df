"""F15: the provider answers 429 with a Retry-After; one worker's answer stops them all, and every job ends."""

from dataclasses import dataclass

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
