"""F03: a worker is frozen with its calls in flight for three leases; another does its jobs, then it thaws."""

import asyncio
import signal
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.faults.harness import Ground, Running, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Call, Findings, Oracle, Row, verdict

FROZEN_LEASES = 3
SLOW_MS = 1_500.0
"""Longer than a freeze takes to strike, shorter than a lease."""
JOBS = "select id, cast(xmin as text), state, answer_attempt from jobs"
LANE = "bulk"


@dataclass(frozen=True)
class Case:
    """What the zombie did."""

    findings: Findings
    tried: int
    """Answers that the zombie brought home too late."""
    accepted_stale: int
    """Jobs whose row its writes changed."""
    unbooked: tuple[str, ...]
    """What is wrong with the zombie's own attempts."""

    @property
    def faults(self) -> list[str]:
        found = [*self.findings.faults, *self.unbooked]
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        if self.accepted_stale:
            found.append("I3: the zombie changed jobs")
        return found

    def line(self) -> str:
        return f"F03 {self.findings.line()} stale_writes={self.tried}/{self.accepted_stale} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, lease_s: float, limit_s: float) -> Case:
    """One worker takes what it can carry; it freezes while the provider works on that."""
    async with Yard.opened(ground, lease_s=lease_s) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        zombie = yard.start_worker([LANE])
        other = await _warm(yard)
        await ground.slow_down(SLOW_MS)
        accepted = await yard.client().submit(jobs, LANE)
        await until(lambda: len(oracle.calls()) > min(jobs, 16), "calls are in flight")
        zombie.send(signal.SIGSTOP)
        await ground.slow_down(0)
        await asyncio.sleep(0.1)  # what had left the frozen worker is with the provider by now
        cut = [row for row in await oracle.ledger() if row.outcome is None]
        other.send(signal.SIGCONT)
        await yard.ended(accepted, limit_s)
        await asyncio.sleep(FROZEN_LEASES * lease_s)
        case = await _thaw(yard, oracle, zombie, accepted, {row.id for row in cut})
        report(case.line())
        return case


async def _warm(yard: Yard) -> Running:
    """The other worker, frozen until it is needed. What it may have popped by then it answers when it thaws."""
    other = yard.start_worker([LANE])
    await yard.ended(await yard.client().submit(4, LANE))
    other.send(signal.SIGSTOP)
    return other


async def _thaw(yard: Yard, oracle: Oracle, zombie: Running, accepted: list[uuid.UUID], cut: set[uuid.UUID]) -> Case:
    before = await _jobs(yard)
    await oracle.quiet()
    billed = {call.attempt: call for call in oracle.calls() if call.attempt in cut}
    zombie.send(signal.SIGCONT)

    async def booked() -> bool:
        rows = [row for row in await oracle.ledger() if row.id in billed]
        return all(row.outcome not in {"unknown", None} for row in rows)

    await until(booked, "the zombie books its calls", 30)
    after = await _jobs(yard)
    return Case(
        findings=await oracle.judge(accepted),
        tried=len(billed),
        accepted_stale=sum(after[job] != row for job, row in before.items()),
        unbooked=tuple(_misbooked([row for row in await oracle.ledger() if row.id in cut], billed)),
    )


async def _jobs(yard: Yard) -> dict[uuid.UUID, tuple[Any, ...]]:
    """Each job's row and its version."""
    return {row[0]: tuple(row[1:]) for row in await yard.rows(JOBS)}


def _misbooked(rows: list[Row], billed: dict[uuid.UUID, Call]) -> list[str]:
    """A late answer is `orphaned` with the provider's own bill."""
    if not billed:
        return ["the freeze struck no call: nothing was proved"]
    wrong: list[Decimal | None] = [
        row.cost_usd
        for row in rows
        if row.id in billed and (row.outcome, row.cost_usd) != ("orphaned", billed[row.id].bill_usd)
    ]
    return [f"{len(wrong)} late answers are not booked as orphaned with their bill"] if wrong else []
