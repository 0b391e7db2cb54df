"""F04: all workers are stopped by SIGTERM, one after the other, under load, at last with Redis frozen."""

import asyncio
import signal
import time
import uuid
from dataclasses import dataclass

from cli.processes import DRAIN_LIMIT_S
from tests.faults.harness import LANES, Ground, Running, Vain, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

WORKERS = 2
DRAIN_S = 1.0
SLOW_MS = 2_000.0
"""Some calls take longer than a worker that stops has patience: they are cut and given back."""
WAVE = 8
MOST_OPEN = 4 * WAVE
OPEN = "select count(*) from jobs where state in ('queued', 'running')"
RUNNING = "select count(*) from jobs where state = 'running'"
THERE = "select count(*) from workers where pid = any(%(pids)s)"
BLAMED = "select id from jobs where deaths > 0 or home_lane is not null"


@dataclass(frozen=True)
class Case:
    """What the stops did."""

    findings: Findings
    stops: int
    exits_s: tuple[float, ...]
    exit_codes: tuple[int | None, ...]
    killed_hard: int
    blamed: int
    """Jobs that count a death of a worker."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}: an attempt was burned")
        if self.killed_hard or set(self.exit_codes) != {0}:
            found.append(f"{self.killed_hard} workers had to be killed, the others ended with {set(self.exit_codes)}")
        if self.blamed or self.findings.outcomes["unknown"]:
            found.append("a stop looked like a death")
        if not self.findings.outcomes["cancelled"]:
            found.append("no call was cut: nothing was proved")
        if self.findings.extra_calls > self.findings.outcomes["cancelled"]:
            found.append("more calls were made again than were cut")
        return found

    def line(self) -> str:
        cut = f"cut={self.findings.outcomes['cancelled']} exit_max_s={max(self.exits_s):.1f}"
        did = f"stops={self.stops} {cut} killed_hard={self.killed_hard}"
        return f"F04 {self.findings.line()} {did} {verdict(self.faults)}"


class Roller:
    """Stops workers in order and starts others in their place."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._workers: list[Running] = [yard.start_worker() for _ in range(WORKERS)]
        self.exits_s: list[float] = []
        self.exit_codes: list[int | None] = []
        self.killed_hard = 0

    async def roll(self) -> None:
        """SIGTERM to each, while it has work in hand; another takes its place at once."""
        for place in range(WORKERS):
            await self.busy()
            worker = self._workers[place]
            self._workers[place] = self._yard.start_worker()
            await self._stop(worker)

    async def stop_all(self) -> None:
        """SIGTERM to all at once."""
        await asyncio.gather(*map(self._stop, self._workers))

    async def busy(self) -> None:
        """Return when all workers are there and have work in hand."""
        pids = [worker.pid for worker in self._workers]

        async def has_work() -> bool:
            ((running,),) = await self._yard.rows(RUNNING)
            ((there,),) = await self._yard.rows(THERE, pids=pids)
            return bool(running >= WAVE and there == len(pids))

        await until(has_work, "workers have work in hand")

    async def _stop(self, worker: Running) -> None:
        asked_s = time.monotonic()
        worker.send(signal.SIGTERM)
        try:
            await until(lambda: not worker.is_alive, "a worker stops", DRAIN_LIMIT_S)
        except Vain:
            self.killed_hard += 1
            worker.end()
        self.exits_s.append(time.monotonic() - asked_s)
        self.exit_codes.append(worker.exit_code)


async def run(ground: Ground, report: Report, *, rolls: int, lease_s: float, limit_s: float) -> Case:
    """One call a job may fail (`attempts`), so that a job whose cut call counted could not succeed."""
    async with Yard.opened(ground, lease_s=lease_s, worker=f"drain_s = {DRAIN_S}", attempts=1) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        yard.start_dispatcher()
        await yard.start_api()
        roller = Roller(yard)
        await yard.ended(await yard.client().submit(4, "standard"))
        await ground.slow_down(SLOW_MS)
        is_over = asyncio.Event()
        loading = asyncio.ensure_future(_load(yard, is_over))
        for _ in range(rolls):
            await roller.roll()
        await roller.busy()
        with yard.frozen_redis():
            await roller.stop_all()
        is_over.set()
        accepted = await loading
        await ground.slow_down(0)
        yard.start_worker()
        await yard.ended(accepted, limit_s)
        case = Case(
            findings=await oracle.judge(accepted),
            stops=len(roller.exits_s),
            exits_s=tuple(roller.exits_s),
            exit_codes=tuple(roller.exit_codes),
            killed_hard=roller.killed_hard,
            blamed=len(await yard.rows(BLAMED)),
        )
        report(case.line())
        return case


async def _load(yard: Yard, is_over: asyncio.Event) -> list[uuid.UUID]:
    """Waves over all lanes, whenever few jobs are left: the ids that got a 202."""
    client, accepted = yard.client(), list[uuid.UUID]()
    while not is_over.is_set():
        ((open_,),) = await yard.rows(OPEN)
        if open_ < MOST_OPEN:
            for lane in LANES:
                accepted += await client.submit(WAVE, lane)
        await asyncio.sleep(0.1)
    return accepted
