"""F11: Postgres is stopped at once, and its postmaster killed, while jobs are submitted and run."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import psycopg

from cli.embedded import Postgres
from migrations.run import upgrade
from tests.faults.harness import LANES, Ground, Yard, until
from tests.faults.harness_load import Client, Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

WORKERS = 2
AWAY_S = 0.5
"""How long the server is away at each strike, beside its own start: with both, far shorter than a lease."""
LEASE_S = 12.0
IDS = "select id from jobs"
SUCCEEDED = "select count(*) from jobs where state = 'succeeded'"
FLAGGED = "select job_id from attempts where outcome = 'unknown'"
TEMPLATE = "migrated"
ASKED = ("/v1/jobs", "/v1/ledger", "/readyz", "/v1/usage?group_by=model")
ANSWERED = frozenset({200, 202, 409, 503})
"""409: a submit sent again under its key while the first is still at work."""


@dataclass(frozen=True)
class Case:
    """What the strikes did."""

    findings: Findings
    strikes: int
    rows: frozenset[uuid.UUID]
    accepted: frozenset[uuid.UUID]
    refusals: Counter[int]
    """Answers other than 202 to submits, and other than 200 to questions."""
    without_remedy: int
    slowest_s: float
    resume_s: float
    """Longest time from the server's return to the first job that ended after it."""
    flagged: frozenset[uuid.UUID]

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        if self.rows != self.accepted:
            found.append(f"{len(self.accepted)} got a 202, {len(self.rows)} rows are there")
        if not self.refusals[503]:
            found.append("no request met an absent Postgres: nothing was proved")
        if strange := self.refusals.keys() - ANSWERED - {0}:
            found.append(f"answers with {sorted(strange)}")
        if self.refusals[0]:
            found.append(f"{self.refusals[0]} requests got no answer in time")
        if self.without_remedy:
            found.append(f"{self.without_remedy} times 503 without Retry-After")
        if self.findings.extra_by_job.keys() - self.flagged:
            found.append("a job was called twice, and no call of it is flagged")
        return found

    def line(self) -> str:
        refused = f"503={self.refusals[503]} slowest_s={self.slowest_s:.1f} resume_s={self.resume_s:.1f}"
        did = f"strikes={self.strikes} rows={len(self.rows)} flagged={len(self.flagged)} {refused}"
        return f"F11 {self.findings.line()} {did} {verdict(self.faults)}"


@asynccontextmanager
async def server(ground: Ground) -> AsyncIterator[tuple[Postgres, Ground]]:
    """A Postgres of its own that writes through to the disk, and the ground on it."""
    folder = short_folder()
    postgres = Postgres(folder / "postgres")
    await asyncio.to_thread(postgres.start)
    try:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        await asyncio.to_thread(upgrade, postgres.url.replace("@/tokenyard?", f"@/{TEMPLATE}?"))
        yield postgres, replace(ground, postgres_url=postgres.url, template=TEMPLATE)
    finally:
        await asyncio.to_thread(postgres.stop)
        shutil.rmtree(folder, ignore_errors=True)


def short_folder() -> Path:
    """One that the database's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o711)
    return folder


class Load:
    """A caller who submits, and one who asks, until `stop`."""

    def __init__(self, client: Client, key: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}
        self._is_over = False
        self.accepted: list[uuid.UUID] = []
        self.refusals: Counter[int] = Counter()
        self.without_remedy = 0
        self.slowest_s = 0.0

    def stop(self) -> None:
        self._is_over = True

    async def submit(self) -> None:
        while not self._is_over:
            for lane in LANES:
                self.accepted += await self._client.submit(4, lane)

    async def ask(self) -> None:
        async with httpx2.AsyncClient(base_url=self._client.url, headers=self._headers, timeout=20) as client:
            while not self._is_over:
                for path in ASKED:
                    await self._ask(client, path)
                await asyncio.sleep(0.05)

    async def _ask(self, client: httpx2.AsyncClient, path: str) -> None:
        began_s = time.monotonic()
        try:
            response = await client.get(path)
        except httpx2.TransportError:
            self.refusals[0] += 1
            return
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        if response.status_code != 200:
            self.refusals[response.status_code] += 1
            self.without_remedy += response.status_code == 503 and "retry-after" not in response.headers


async def run(ground: Ground, report: Report, *, strikes: int, limit_s: float) -> Case:
    """Strikes by turns: the server's own immediate stop, and kill -9 of its postmaster."""
    async with server(ground) as (postgres, own), Yard.opened(own, lease_s=LEASE_S) as yard:
        yard.start_dispatcher()
        await yard.start_api()
        for _ in range(WORKERS):
            yard.start_worker()
        oracle = Oracle(yard.connection, ground.calls)
        first = await yard.client().submit(6, "standard")
        await yard.ended(first, limit_s)
        client = yard.client()
        load = Load(client, yard.key)
        at_work = [asyncio.ensure_future(load.submit()), asyncio.ensure_future(load.ask())]
        resumes = [await _strike(yard, postgres, strike, limit_s) for strike in range(strikes)]
        load.stop()
        await asyncio.gather(*at_work)
        accepted = [*first, *load.accepted]
        await yard.ended(accepted, limit_s)
        oracle.connection = yard.connection
        case = Case(
            findings=await oracle.judge(accepted),
            strikes=strikes,
            rows=frozenset(row[0] for row in await yard.rows(IDS)),
            accepted=frozenset(accepted),
            refusals=client.refusals + load.refusals,
            without_remedy=client.without_remedy + load.without_remedy,
            slowest_s=max(client.slowest_s, load.slowest_s),
            resume_s=max(resumes),
            flagged=frozenset(row[0] for row in await yard.rows(FLAGGED)),
        )
        report(case.line())
        return case


async def _strike(yard: Yard, postgres: Postgres, strike: int, limit_s: float) -> float:
    """One absence: seconds from the server's return to the first job that ended after it."""
    await asyncio.sleep(1.0)  # work is in flight again
    if strike % 2:
        await asyncio.to_thread(postgres.kill)
    else:
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGQUIT)  # "immediate": no checkpoint, every session cut
        await until(lambda: not postgres.is_running, "Postgres stops")
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(postgres.start)
    back_s = time.monotonic()
    await yard.connect()
    already = await yard.rows(SUCCEEDED)

    async def more() -> bool:
        return await yard.rows(SUCCEEDED) > already

    await until(more, "jobs end again", limit_s)
    return time.monotonic() - back_s
