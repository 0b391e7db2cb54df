"""F08: Redis is frozen, or links to it are half open; submits stay quick, jobs end meanwhile, workers resume alone."""

import time
import uuid
from dataclasses import dataclass

import httpx2

from jobs import ids
from tests.faults.f07 import Stage
from tests.faults.harness import Yard, until
from tests.faults.harness_load import Client, Report
from tests.faults.harness_oracles import Findings, verdict
from tests.faults.harness_proxy import LINKS

SUBMIT_BOUND_S = 3.0
"""Far beyond what a submit takes on a busy machine, and below any time-out of Redis that it could hang on twice."""
RESUME_S = 45.0
RUNG = 3
"""So many interactive jobs one after the other, each begun well before any poll could find it: bells ring again."""
BEGAN_S = "select extract(epoch from started_at - created_at)::float8 from jobs where id = %(id)s"


@dataclass(frozen=True)
class Case:
    """What one trouble did."""

    what: str
    findings: Findings
    struck: int
    """Connections that were made half open; for the freeze, 1."""
    refusals: dict[int, int]
    slowest_submit_s: float
    meanwhile: int
    """Jobs that ended before the trouble did."""
    resume_s: float | None
    """Until bells rang again; None when that was not waited for."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        if self.refusals:
            found.append(f"submits were refused: {self.refusals}")
        if self.slowest_submit_s > SUBMIT_BOUND_S:
            found.append("a submit waited for Redis")
        if self.findings.extra_calls:
            found.append("a call was made twice")
        if not self.struck:
            found.append("no connection was struck: nothing was proved")
        if self.meanwhile < self.findings.accepted:
            found.append("jobs waited for Redis to come back")
        return found

    def line(self) -> str:
        submits = f"slowest_submit_s={self.slowest_submit_s:.2f} ended_meanwhile={self.meanwhile}"
        resume = "" if self.resume_s is None else f" resume_s={self.resume_s:.1f}"
        return f"F08 {self.what} links={self.struck} {self.findings.line()} {submits}{resume} {verdict(self.faults)}"


async def run(on: Stage, jobs: int, report: Report, *, freeze_s: float, limit_s: float, has_time: bool) -> list[Case]:
    """Each kind of link half open, then the whole of Redis frozen. `has_time`: wait each time until bells ring."""
    cases = []
    for kind, words in LINKS.items():
        cases.append(await _half_open(on, kind, words, jobs, limit_s, has_time=has_time))
        report(cases[-1].line())
    cases.append(await _frozen(on, jobs, freeze_s, limit_s, has_time=has_time))
    report(cases[-1].line())
    return cases


async def _half_open(
    on: Stage, kind: str, words: tuple[bytes, ...], jobs: int, limit_s: float, *, has_time: bool
) -> Case:
    client = on.yard.client()
    await until(
        lambda: bool(on.proxy.links(words)), f"there are {kind} links"
    )  # a consumer may still be on its way back
    struck, since_s = on.proxy.hang(words), time.monotonic()
    accepted = await _submit(client, jobs)
    await _waited_for(on.yard, accepted[-1], limit_s)
    await on.yard.ended(accepted, limit_s)
    resume_s = await _rung_again(on.yard, since_s) if has_time else None
    findings = await on.oracle.judge(accepted)
    return Case(f"half_open={kind}", findings, struck, dict(client.refusals), client.slowest_s, len(accepted), resume_s)


async def _frozen(on: Stage, jobs: int, freeze_s: float, limit_s: float, *, has_time: bool) -> Case:
    client, accepted, began_s = on.yard.client(), list[uuid.UUID](), time.monotonic()
    with on.yard.frozen_redis():
        while not accepted or time.monotonic() - began_s < freeze_s:
            wave = await _submit(client, jobs)
            await _waited_for(on.yard, wave[-1], limit_s)
            await on.yard.ended(wave, limit_s)
            accepted += wave
    resume_s = await _rung_again(on.yard, time.monotonic()) if has_time else None
    findings = await on.oracle.judge(accepted)
    return Case("frozen", findings, 1, dict(client.refusals), client.slowest_s, len(accepted), resume_s)


async def _submit(client: Client, jobs: int) -> list[uuid.UUID]:
    half = max(1, jobs // 2)
    return await client.submit(half, "bulk") + await client.submit(half, "interactive")


async def _waited_for(yard: Yard, job_id: uuid.UUID, limit_s: float) -> None:
    """A caller that waits for a job hears of its end, though no signal comes. Raises AssertionError."""
    headers = {"authorization": f"Bearer {yard.key}"}
    async with httpx2.AsyncClient(base_url=yard.url, headers=headers, timeout=limit_s) as client:
        response = await client.get(f"/v1/jobs/{ids.show('job', job_id)}?wait=30")
    assert response.status_code == 200, response.text
    assert response.json()["state"] == "succeeded", response.text


async def _rung_again(yard: Yard, since_s: float) -> float:
    """Seconds from `since_s` until bells ring again."""
    client, in_a_row = yard.client(), 0

    async def rings() -> bool:
        nonlocal in_a_row
        (job_id,) = await client.submit(1, "interactive")
        await yard.ended([job_id])
        ((began_s,),) = await yard.rows(BEGAN_S, id=job_id)
        in_a_row = in_a_row + 1 if began_s < 0.5 else 0
        return in_a_row >= RUNG

    await until(rings, "bells ring again", RESUME_S)
    return time.monotonic() - since_s
