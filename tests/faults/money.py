"""Budgets under load: parallel submitters, a worker killed with calls open; the cap holds, reservations return."""

import asyncio
import signal
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2
import msgspec

from tests.faults.harness import Ground, Yard, until
from tests.faults.harness_load import Report, job
from tests.faults.harness_oracles import verdict
from tests.jobs.store.budgeted import WITNESS

CAP_USD, ENOUGH_USD = "0.0060", "1.00"
"""Room for some fourteen calls at their bound; and for everything."""
SEEN = "select count(*), max(over_usd) from seen"
OPEN = "select count(*) from attempts where outcome is null"
STANDING = """
select count(*) filter (where state = 'running'),
    count(*) filter (where state = 'queued' and run_at < now() + interval '1 min'),
    count(*) filter (where state = 'queued'), count(*) filter (where state = 'succeeded')
from jobs
"""
DRIFT = """
select b.settled_usd - coalesce(sum(coalesce(a.cost_usd, case when a.outcome = 'not_sent' then 0
        else a.cost_bound_usd end)) filter (where a.outcome is not null), 0),
    b.reserved_usd - coalesce(sum(a.cost_bound_usd) filter (where a.outcome is null), 0), b.reserved_usd
from budgets b left join attempts a on b.id = any(a.budget_ids) group by b.id
"""


@dataclass
class Case:
    """What the budget and its jobs went through."""

    submitters: int
    accepted: int = 0
    lost_calls: int = 0
    """Open when their worker was killed."""
    returned_s: float = 0.0
    """From the kill until nothing of the dead worker was reserved any more."""
    waited: int = 0
    """Jobs that the budget held back until its cap was raised."""
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"BUDGET submitters={self.submitters} accepted={self.accepted} lost_calls={self.lost_calls}"
            f" returned_s={self.returned_s:.1f} waited={self.waited} {verdict(self.faults)}"
        )


async def run(ground: Ground, submitters: int, report: Report, *, lease_s: float, limit_s: float) -> Case:
    """One tenant, one cap, `submitters` at once, two workers of which one dies; then the cap is raised."""
    case = Case(submitters)
    headers = {"content-type": "application/json"}
    async with Yard.opened(ground, lease_s=lease_s) as yard, httpx2.AsyncClient(timeout=60, headers=headers) as http:
        for statement in WITNESS:
            await yard.connection.execute(statement)
        url, _ = await yard.start_api()
        yard.start_dispatcher()
        http.headers["authorization"] = f"Bearer {yard.key}"
        made = await http.post(
            f"{url}/v1/budgets", content=msgspec.json.encode({"cap_usd": CAP_USD, "period": "total"})
        )
        bodies = [msgspec.json.encode(job(serial, "standard", False, "")) for serial in range(submitters)]
        answers = await asyncio.gather(*(http.post(f"{url}/v1/jobs", content=body) for body in bodies))
        case.accepted = sum(answer.status_code == 202 for answer in answers)
        await _one_worker_dies(yard, case, limit_s)
        ((_, _, case.waited, _),) = await yard.rows(STANDING)
        raised = await http.patch(
            f"{url}/v1/budgets/{made.json()['id']}", content=msgspec.json.encode({"cap_usd": ENOUGH_USD})
        )
        assert raised.status_code == 200, raised.text

        async def all_ended() -> bool:
            ((running, _, queued, succeeded),) = await yard.rows(STANDING)
            return bool(running == queued == 0 and succeeded == case.accepted)

        await until(all_ended, "the waiting jobs end after the cap was raised", limit_s)
        await _judge(yard, case)
    report(case.line())
    return case


async def _one_worker_dies(yard: Yard, case: Case, limit_s: float) -> None:
    """Kill a worker with calls open, start another, and wait until the budget stands still."""
    doomed = yard.start_worker(["standard"])

    async def calls() -> bool:
        ((count,),) = await yard.rows(OPEN)
        return bool(count >= 2)

    await until(calls, "calls are open", limit_s)
    doomed.send(signal.SIGKILL)
    await until(lambda: not doomed.is_alive, "the worker dies")
    died_at_s = time.monotonic()
    ((case.lost_calls,),) = await yard.rows(OPEN)

    async def returned() -> bool:
        ((_, _, reserved),) = await yard.rows(DRIFT)
        return bool(reserved == 0)

    await until(returned, "what the dead worker had reserved returns", limit_s)
    case.returned_s = time.monotonic() - died_at_s
    yard.start_worker(["standard"])

    async def stands_still() -> bool:
        ((running, soon, _, _),) = await yard.rows(STANDING)
        return bool(running == soon == 0)

    await until(stands_still, "the budget is used up, or all jobs have ended", limit_s)


async def _judge(yard: Yard, case: Case) -> None:
    ((versions, over),) = await yard.rows(SEEN)
    ((settled, reserved, left),) = await yard.rows(DRIFT)
    wanted: dict[str, tuple[Any, bool]] = {
        "a version of the row was above its cap": (over, over is not None and over <= 0),
        "the witness saw too little": (versions, versions > 10),
        "settled is off its rows": (settled, settled == Decimal(0)),
        "reserved is off its rows": (reserved, reserved == left == Decimal(0)),
        "nothing had to wait": (case.waited, case.waited > 0),
        "no call was lost": (case.lost_calls, case.lost_calls > 0),
        "not all were accepted": (case.accepted, case.accepted == case.submitters),
    }
    case.faults += [f"{what}: {found}" for what, (found, holds) in wanted.items() if not holds]
