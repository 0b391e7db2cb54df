"""What a scrape costs beside a long ledger and a long queue: `python -m benchmarks.scrape --attempts 10000000`."""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from cli.embedded import Postgres
from jobs.store import fleet, reads, totals
from jobs.store.session import Database
from migrations.run import upgrade

FILL_ATTEMPTS = """
insert into attempts (id, job_id, tenant_id, token, deployment, model, provider, tier, closed_at, outcome, failure,
    input_tokens, output_tokens, cost_usd, cost_basis)
select (lpad(to_hex(ms), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
    gen_random_uuid(), '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'm' || n %% 5 || '@p' || n %% 3,
    'maker/m' || n %% 5, 'p' || n %% 3, 0, now(), case when n %% 10 = 0 then 'failed' else 'accepted' end,
    case when n %% 10 = 0 then 'transient' end, 100, 10, 0.0001, 'usage'
from (select n, md5(n::text) as hash, (extract(epoch from now()) * 1000)::bigint - %(total)s + n - 60000 as ms
    from generate_series(%(first)s, %(last)s) n) s
"""
FILL_JOBS = """
insert into jobs (id, tenant_id, state, lane, policy, model, deadline_at, urgent_at)
select gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'queued', 'bulk', 'auto', 'auto',
    now() + interval '3 days', now() + interval '1 hour'
from generate_series(1, %(jobs)s)
"""
SLICE = 1_000_000
SCRAPES = 20


def fill(url: str, attempts: int, jobs: int) -> None:
    """The ledger and the queue, as fast as Postgres takes them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into tenants (id, name) values ('00000000-0000-0000-0000-000000000001', 'bench')"
            " on conflict do nothing"
        )
        for first in range(1, attempts + 1, SLICE):
            connection.execute(
                FILL_ATTEMPTS, {"first": first, "last": min(attempts, first + SLICE - 1), "total": attempts}
            )
        connection.execute(FILL_JOBS, {"jobs": jobs})
        connection.execute("vacuum analyze")


async def measure(url: str) -> None:
    """Fold everything, then scrape."""
    database = Database(url)
    began_s, slices, more = time.perf_counter(), 0, True
    while more:
        async with database.transaction() as connection:
            more = await totals.fold(connection)
        slices += 1
    seconds = time.perf_counter() - began_s
    async with database.statement() as connection:
        rows = sum(total.attempts for total in await totals.totals(connection))
        say(f"folded {rows:,} attempts in {seconds:.1f} s, {slices} slices, {1e6 * seconds / max(1, rows):.1f} us each")
        readings: dict[str, Callable[[], Awaitable[object]]] = {
            "sums of the ledger": lambda: totals.totals(connection),
            "how far they are behind": lambda: totals.lag_s(connection),
            "open jobs by lane": lambda: reads.open_by_lane(connection),
            "live workers": lambda: fleet.live(connection),
        }
        for name, read in readings.items():
            say(f"{name}: {1000 * await _typical_s(read):.1f} ms")
    async with database.transaction() as connection:
        say(f"a fold with nothing to do: {1000 * await _typical_s(lambda: totals.fold(connection)):.1f} ms")
    await database.close()


async def _typical_s(read: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(SCRAPES):
        began_s = time.perf_counter()
        await read()
        times.append(time.perf_counter() - began_s)
    return statistics.median(times)


def say(line: str) -> None:
    """To whoever waits for a figure."""
    print(line, flush=True)


def main() -> None:
    """Servers of our own, filled and measured; nothing is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scrape", description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs that wait")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scrape-"))
    folder.chmod(0o711)
    postgres = Postgres(folder / "postgres", fsync=False)
    postgres.start()
    try:
        upgrade(postgres.url)
        fill(postgres.url, chosen.attempts, chosen.jobs)
        asyncio.run(measure(postgres.url))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
