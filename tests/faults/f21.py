"""F21: the provider dies and comes back; the fleet leaves it alone, probes it as one, and then all jobs end."""

from dataclasses import dataclass

from routing.breaker import PROBES
from tests.faults.harness import Ground, Yard
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

WORKERS = 4
GRACE_S = 0.5
"""A call that had passed the gate when the breaker opened has left by then."""
INTERVALS = 2
"""15 s and 30 s: in an outage of 30 s the breaker opens twice."""
CALLS = """
with first as (select min(opened_at) as at from attempts where failure is not null)
select extract(epoch from a.opened_at - first.at)::float8 from attempts a, first
where a.opened_at >= first.at order by 1
"""


@dataclass(frozen=True)
class Case:
    """What the outage did."""

    findings: Findings
    failed: int
    while_dead: int
    """Calls that left while the provider was down, those in hand when the breaker opened left out."""
    back_s: float
    """From the first failure until the calls flow again."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if not self.failed:
            found.append("no call failed: nothing was proved")
        if self.while_dead > PROBES * INTERVALS:
            found.append(f"{self.while_dead} calls left while the breaker was open")
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        return found

    def line(self) -> str:
        outage = f"failed={self.failed} while_dead={self.while_dead} back_s={self.back_s:.1f}"
        return f"F21 {self.findings.line()} workers={WORKERS} {outage} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, dead_s: float, limit_s: float) -> Case:
    """Jobs come while the provider answers 503 for `dead_s`."""
    async with Yard.opened(ground) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        for _ in range(WORKERS):
            yard.start_worker()
        await yard.ended(await yard.client().submit(4 * WORKERS, "standard"))
        await ground.script({"kind": "status", "status": 503, "for_s": dead_s})
        try:
            accepted = await yard.client().submit(jobs, "standard")
            await yard.ended(accepted, limit_s)
        finally:
            await ground.script()
        calls = [row[0] for row in await yard.rows(CALLS)]
        ((failed,),) = await yard.rows("select count(*) from attempts where failure is not null")
        case = Case(
            findings=await oracle.judge(accepted),
            failed=failed,
            while_dead=sum(GRACE_S < when < dead_s for when in calls),
            back_s=next((when for when in calls if when > dead_s), float("nan")),
        )
        report(case.line())
        return case
