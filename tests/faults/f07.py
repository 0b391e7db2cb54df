"""F07: Redis is killed with its file, killed without it, flushed and away; submits stay 202, nothing is lost."""

import asyncio
import shutil
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis.asyncio as redis

from tests.faults.harness import LANES, Ground, Running, Yard
from tests.faults.harness_load import Client, Report
from tests.faults.harness_oracles import Findings, Oracle, most_at_once, verdict
from tests.faults.harness_proxy import Proxy

WORKERS = 2
CONCURRENCY = 24
"""Of the provider's key; without Redis each worker keeps its share."""
SETTLED_S = 1.0
"""After Redis went away: the calls that were let in before have ended."""
FLOWS = """
select extract(epoch from min(started_at))::float8 from jobs where id = any(%(ids)s) and started_at is not null
"""


@dataclass(frozen=True)
class Stage:
    """A yard at work, whose processes reach Redis through a proxy."""

    yard: Yard
    oracle: Oracle
    proxy: Proxy
    workers: list[Running]


@dataclass(frozen=True)
class Case:
    """What one trouble did."""

    what: str
    findings: Findings
    refusals: dict[int, int]
    slowest_submit_s: float
    flows_s: float
    """From the end of the trouble (for `absent`: from its beginning) to the first start of a job of the backlog."""
    jobs_per_s: float
    at_once: int | None = None
    """Most calls side by side while Redis was away."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        if self.refusals:
            found.append(f"submits were refused: {self.refusals}")
        if self.findings.extra_calls:
            found.append("a call was made twice")
        if self.at_once is not None and not 1 < self.at_once <= CONCURRENCY:
            found.append(f"{self.at_once} calls at once, {CONCURRENCY} are allowed")
        return found

    def line(self) -> str:
        submits = f"slowest_submit_s={self.slowest_submit_s:.2f}"
        flows = f"flows_s={self.flows_s:.1f} jobs_per_s={self.jobs_per_s:.0f}"
        share = "" if self.at_once is None else f" at_once={self.at_once}/{CONCURRENCY}"
        return f"F07 redis={self.what} {self.findings.line()} {submits} {flows}{share} {verdict(self.faults)}"


@asynccontextmanager
async def stage(ground: Ground, lease_s: float) -> AsyncIterator[Stage]:
    """A yard with two workers for all lanes; they have proved themselves."""
    limits = f"keys = [{{ limits = {{ concurrency = {CONCURRENCY} }} }}]"
    async with (
        Yard.opened(ground, lease_s=lease_s, provider=limits) as yard,
        Proxy.before(yard.redis.url, yard.redis.folder) as (proxy, url),
    ):
        yard.set_environment(TOKENYARD_REDIS_URL=url)
        yard.start_dispatcher()
        await yard.start_api()
        workers = [yard.start_worker() for _ in range(WORKERS)]
        oracle = Oracle(yard.connection, ground.calls)
        await yard.ended(await yard.client().submit(4, "standard"))
        yield Stage(yard, oracle, proxy, workers)


async def run(on: Stage, jobs: int, report: Report, *, limit_s: float) -> list[Case]:
    """The four troubles, one after the other."""
    cases = []
    for strike in (_killed, _flushed, _absent):
        cases.append(await strike(on, jobs, limit_s))
        report(cases[-1].line())
    return cases


async def _killed(on: Stage, jobs: int, limit_s: float) -> Case:
    """kill -9, and started again with its append-only file."""

    async def restart(client: Client) -> list[uuid.UUID]:
        on.yard.redis.kill()
        meanwhile = await client.submit(max(1, jobs // 8), "standard")
        await asyncio.to_thread(on.yard.redis.start)
        return meanwhile

    return await _with_backlog(on, "killed", jobs, restart, limit_s)


async def _flushed(on: Stage, jobs: int, limit_s: float) -> Case:
    """FLUSHALL: bells, limits, subscriptions' keys, all gone at once."""

    async def flush(_: Client) -> list[uuid.UUID]:
        async with redis.Redis.from_url(on.yard.redis.url) as client:
            await client.flushall()
        return []

    return await _with_backlog(on, "flushed", jobs, flush, limit_s)


async def _with_backlog(
    on: Stage, what: str, jobs: int, trouble: Callable[[Client], Awaitable[list[uuid.UUID]]], limit_s: float
) -> Case:
    """The workers are frozen until the trouble is over, so that the bells of all jobs lie in Redis when it comes."""
    client = on.yard.client()
    for worker in on.workers:
        worker.send(signal.SIGSTOP)
    accepted = [job for lane in LANES for job in await client.submit(jobs // len(LANES), lane)]
    accepted += await trouble(client)
    for worker in on.workers:
        worker.send(signal.SIGCONT)
    return await _case(on, what, client, accepted, time.time(), limit_s)


async def _absent(on: Stage, jobs: int, limit_s: float) -> Case:
    """Away until every job has ended without it; then it comes back empty, and must be of use again."""
    client, yard = on.yard.client(), on.yard
    yard.redis.kill()
    away_s = time.time()
    accepted = [job for lane in LANES for job in await client.submit(jobs // len(LANES), lane)]
    case = await _case(on, "absent", client, accepted, away_s, limit_s)
    at_once = most_at_once(on.oracle.calls(), away_s + SETTLED_S, time.time())
    for path in yard.redis.folder.glob("appendonly*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    await asyncio.to_thread(yard.redis.start)
    after = await client.submit(8, "interactive")
    await yard.ended(after, limit_s)
    findings = await on.oracle.judge([*accepted, *after])
    return Case("absent, then empty", findings, case.refusals, client.slowest_s, case.flows_s, case.jobs_per_s, at_once)


async def _case(
    on: Stage, what: str, client: Client, accepted: list[uuid.UUID], since_s: float, limit_s: float
) -> Case:
    await on.yard.ended(accepted, limit_s)
    took_s = time.time() - since_s
    ((first_s,),) = await on.yard.rows(FLOWS, ids=accepted)
    return Case(
        what,
        await on.oracle.judge(accepted),
        dict(client.refusals),
        client.slowest_s,
        max(0.0, first_s - since_s),
        len(accepted) / took_s,
    )
