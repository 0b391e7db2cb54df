"""Runs the yard in a crowd: a million jobs of fifty tenants wait, and neither release nor workers may feel it.

Two yards take turns, one in the crowd and one alone, so that a slow minute hits both; while one carries, the other's
dispatcher and worker are stopped. The crowd is written by SQL, with the requests of those jobs that come to their turn,
and vacuumed, as autovacuum would in its minutes.
"""

import asyncio
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from sqlalchemy import text

from benchmarks.figures import UPSTREAM
from benchmarks.meter import Meter, difference
from benchmarks.prompts import body, prompts
from benchmarks.stage import BenchError, Stage
from benchmarks.submit import MODEL
from benchmarks.yard import DELAY_MS, BenchYard, settle, staged
from jobs.lanes import Lane
from jobs.store import release
from jobs.store.release import Turn
from jobs.store.session import Connection, Database
from routing.fairness import share_out

TENANTS, JOBS, RUN = 50, 1_000_000, 1000
"""In all, and of one tenant in a row: what a bulk submit leaves."""
WITH_REQUEST = 800
"""Of each tenant: more than are carried here."""
CARRIED, AHEAD = 4000, 800
"""Jobs of a turn whose pace is taken, and those that are carried before."""
TURNS = "ACCAACCA"
"""Alone and crowded, so that a drift of the machine weighs on both alike."""
RELEASED, RELEASES = 500, 60
ALL_STOCK = 1_000_000
FILL = """
insert into jobs (id, tenant_id, lane, policy, model, created_at, deadline_at, urgent_at)
select cast(lpad(to_hex(cast(%(epoch_ms)s + %(before)s + n as bigint)), 12, '0') || '7'
        || substr(md5(cast(n as text)), 1, 3) || '8' || substr(md5(cast(n as text)), 5, 15) as uuid),
    %(tenant)s, 'bulk', 'bench', %(model)s, now(), now() + interval '72 h' + (%(before)s + n) * interval '1 ms',
    now() + interval '1 h' + (%(before)s + n) * interval '1 ms'
from generate_series(1, %(run)s) n
"""
REQUESTS = """
insert into payloads (id, body)
select id, %(body)s from (
    select id, row_number() over (partition by tenant_id order by urgent_at) as nth from jobs
    where lane = 'bulk' and state = 'queued'
) first where nth <= %(most)s
"""
# By the attempts, of which there are few: the jobs' table is what is crowded.
ENDED = "select count(*) from attempts where outcome = 'accepted'"
MOMENTS = """
select extract(epoch from closed_at)::float8 from attempts where outcome = 'accepted' order by closed_at
offset %(skip)s limit %(most)s
"""
CLAIM_AWAY = text("""
update jobs set state = 'running', token = gen_random_uuid(), lease_until = now() + interval '1 d'
where lane = 'bulk' and state = 'queued' and released_at is not null
""")


class Pace(msgspec.Struct, frozen=True):
    """How a worker fared."""

    jobs_per_s: float
    cpu_ms: float
    """A job's, over all processes but the upstream."""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """What a million waiting jobs do to a yard."""

    waiting: int
    tenants: int
    turns_alone: list[Pace]
    turns_crowded: list[Pace]
    redis_mb: float
    """More than when it was empty."""
    released: int
    release_cpu_ms: list[float]
    """Postgres' own, of each look and release together."""
    release_wall_ms: list[float]

    @property
    def release_ms(self) -> float:
        """The median's CPU."""
        return statistics.median(self.release_cpu_ms)

    @property
    def alone(self) -> Pace:
        """The turns' medians."""
        return _median(self.turns_alone)

    @property
    def crowded(self) -> Pace:
        """The turns' medians."""
        return _median(self.turns_crowded)

    @property
    def pace_share(self) -> float:
        """Jobs/s in the crowd over jobs/s alone."""
        return self.crowded.jobs_per_s / self.alone.jobs_per_s


def crowd(folder: Path) -> Crowd:
    """The turns of both yards; then Redis' weight; at last releases by themselves."""
    with (
        staged(folder / "alone", DELAY_MS, 1024) as (alone, _),
        staged(folder / "crowded", DELAY_MS, 1024) as (crowded, empty_mb),
    ):
        crowded.stage.stop("dispatcher")
        alone.stage.stop("dispatcher")
        with _record(alone) as empty_record, _record(crowded) as record:
            waiting = fill(record, JOBS)
            turns: dict[str, list[Pace]] = {"A": [], "C": []}
            for turn in TURNS:
                turns[turn].append(_turn(crowded, record) if turn == "C" else _turn(alone, empty_record, submits=True))
            crowded.start_dispatcher()
            settle(crowded.stage, record)
            redis_mb = crowded.stage.redis_used_mb() - empty_mb
        crowded.stage.stop("dispatcher")
        cpu_ms, wall_ms = measure_releases(crowded)
    return Crowd(
        waiting=waiting,
        tenants=TENANTS,
        turns_alone=turns["A"],
        turns_crowded=turns["C"],
        redis_mb=redis_mb,
        released=RELEASED,
        release_cpu_ms=cpu_ms,
        release_wall_ms=wall_ms,
    )


def _record(yard: BenchYard) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(yard.stage.postgres.url, autocommit=True)


def _turn(yard: BenchYard, record: psycopg.Connection[tuple[Any, ...]], *, submits: bool = False) -> Pace:
    """One yard carries while the other stands still."""
    if submits:
        yard.submit(AHEAD + CARRIED + AHEAD)
    yard.start_dispatcher()
    yard.start_worker()
    pace = _pace(yard.stage, record)
    yard.stage.stop("worker")
    yard.stage.stop("dispatcher")
    return pace


def _median(turns: list[Pace]) -> Pace:
    return Pace(
        statistics.median(turn.jobs_per_s for turn in turns),
        statistics.median(turn.cpu_ms for turn in turns),
    )


def fill(record: psycopg.Connection[tuple[Any, ...]], jobs: int) -> int:
    """Write the crowd, tenant after tenant in runs, and vacuum; returns the jobs that wait."""
    tenants = [uuid.uuid4() for _ in range(TENANTS)]
    for nth, tenant in enumerate(tenants):
        record.execute("insert into tenants (id, name) values (%s, %s)", (tenant, f"crowd-{nth}"))
    (epoch_ms,) = record.execute("select cast(extract(epoch from now()) * 1000 as bigint)").fetchone() or (0,)
    names: dict[str, object] = {"epoch_ms": int(str(epoch_ms)) - jobs - 1000, "model": MODEL, "run": RUN}
    for nth, before in enumerate(range(0, jobs, RUN)):
        record.execute(FILL, names | {"before": before, "tenant": tenants[nth % TENANTS]})
    request = msgspec.json.encode(body(prompts(1)[0], MODEL))
    record.execute(REQUESTS, {"body": request, "most": WITH_REQUEST})
    for table in ("jobs", "payloads"):
        record.execute(f"vacuum (analyze) {table}")
    record.execute("checkpoint")  # the writing of the crowd itself is not the turns' burden
    row = record.execute("select count(*) from jobs where state = 'queued'").fetchone()
    return int(str(row[0])) if row else 0


def _ended(record: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = record.execute(ENDED).fetchone()
    return int(row[0]) if row else 0


def _pace(stage: Stage, record: psycopg.Connection[tuple[Any, ...]]) -> Pace:
    """The pace of the next jobs once some more have ended, by the database's clock."""
    before = _ended(record)
    stage.wait(lambda: _ended(record) >= before + AHEAD, "the worker is at its pace", "worker")
    meter = Meter({name: pids for name, pids in stage.pids.items() if name != UPSTREAM})
    began, first = meter.cpu_ms(), _ended(record)
    stage.wait(lambda: _ended(record) >= first + CARRIED, f"{CARRIED} jobs have ended", "worker")
    spent, last = difference(began, meter.cpu_ms()), _ended(record)
    moments = [float(row[0]) for row in record.execute(MOMENTS, {"skip": first, "most": CARRIED})]
    return Pace((len(moments) - 1) / (moments[-1] - moments[0]), sum(spent.values()) / (last - first))


def measure_releases(yard: BenchYard) -> tuple[list[float], list[float]]:
    """CPU and wall of Postgres for releases of 500 from the crowd, in ms, while nothing else goes on."""
    return asyncio.run(_releases(yard.stage.postgres.url))


async def _releases(url: str) -> tuple[list[float], list[float]]:
    cpu_ms, wall_ms = [], []
    measured, other = Database(url, pool_size=1, durable=False), Database(url, pool_size=1, durable=False)
    try:
        async with measured.statement() as connection, other.statement() as claimer:
            pid = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
            for _ in range(RELEASES):
                await claimer.execute(CLAIM_AWAY)
                began_ms, began_s = _backend_ms(pid), time.perf_counter()
                await _release(connection)
                wall_ms.append((time.perf_counter() - began_s) * 1000)
                cpu_ms.append(_backend_ms(pid) - began_ms)
    finally:
        await measured.close()
        await other.close()
    return cpu_ms, wall_ms


async def _release(connection: Connection) -> None:
    """What a dispatcher does in a turn. Raises BenchError when fewer were released than asked for."""
    view = next(view for view in (await release.look(connection, ALL_STOCK)).lanes if view.lane is Lane.BULK)
    turn = Turn(view=view, shares=share_out(RELEASED, view.queues), stock=RELEASED)
    released = (await release.release(connection, [turn])).get(Lane.BULK, [])
    if len(released) != RELEASED:
        raise BenchError(f"asked for {RELEASED} jobs, {len(released)} were released")


def _backend_ms(pid: int) -> float:
    """CPU of a Postgres backend in ms: the kernel counts it in nanoseconds (proc(5), /proc/pid/schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6
