"""Runs the peers: plain Celery on two pools, and the bare client."""

import sys
from pathlib import Path

import psycopg

from benchmarks.figures import Figures, Times, measure
from benchmarks.peers.app import TABLES
from benchmarks.stage import BenchError, Stage
from jobs.broker import celery_url

DELAY_MS = 200.0
WARM_UP = 5
"""One job in five of the run's, at most 200, goes through first: connections, threads and imports are there then."""
MOST_WARM_UP = 200
Record = psycopg.Connection[tuple[object, ...]]


def warm_up_jobs(jobs: int) -> int:
    """How many jobs go through before the clock starts."""
    return min(MOST_WARM_UP, jobs // WARM_UP)


def celery(folder: Path, pool: str, concurrency: int, jobs: int) -> Figures:
    """Plain Celery: `pool` is prefork or threads."""
    with Stage(folder) as stage:
        stage.start_upstream(DELAY_MS)
        stage.start_servers()
        environment = {
            "PEER_UPSTREAM": stage.upstream_url,
            "PEER_BROKER": celery_url(stage.redis.url),
            "PEER_DATABASE": stage.postgres.url,
        }
        with psycopg.connect(stage.postgres.url, autocommit=True) as record:
            record.execute(TABLES)
            size = ("--pool", pool, "-c", str(concurrency))
            argv = (sys.executable, "-m", "celery", "-A", "benchmarks.peers.app", "worker", *size)
            stage.start("worker", (*argv, "--loglevel", "WARNING"), environment)
            stage.wait_for_consumer()
            warm = warm_up_jobs(jobs)
            _warm_up(stage, record, environment, warm)
            driver = stage.driver("benchmarks.peers.delay", str(jobs), environment=environment)

            def run() -> Times:
                driver.go()
                facts = driver.mark()
                ended_s = _wait_for_rows(stage, record, warm + jobs)
                return Times(began_s=facts["began_s"], ended_s=ended_s, submit_s=facts["submit_s"])

            figures = measure(stage, f"celery {pool} -c {concurrency}", jobs, run)
            _check(record, warm + jobs)
            return figures


def bare(folder: Path, jobs: int) -> Figures:
    """A bare asyncio client: no queue, no record."""
    with Stage(folder) as stage:
        stage.start_upstream(DELAY_MS)
        driver = stage.driver("benchmarks.peers.bare", str(jobs), environment={"PEER_UPSTREAM": stage.upstream_url})

        def run() -> Times:
            driver.go()
            facts = driver.mark()
            return Times(began_s=facts["began_s"], ended_s=facts["ended_s"])

        return measure(stage, "bare asyncio, 500 calls", jobs, run)


def _warm_up(stage: Stage, record: Record, environment: dict[str, str], jobs: int) -> None:
    driver = stage.driver("benchmarks.peers.delay", str(jobs), environment=environment)
    driver.go()
    driver.mark()
    _wait_for_rows(stage, record, jobs)
    stage.stop("submitter")


def _wait_for_rows(stage: Stage, record: Record, rows: int) -> float:
    """Wait for that many results; returns when the last was written, in epoch seconds by the database's clock."""
    stage.wait(lambda: _count(record, "results") >= rows, f"{rows} results are there", "worker")
    row = record.execute("select extract(epoch from max(finished_at))::float8 from results").fetchone()
    if row is None or not isinstance(row[0], float):
        raise BenchError("there are no results")
    return row[0]


def _check(record: Record, rows: int) -> None:
    """Raises BenchError unless each job has one result and one cost: a side that skips work is no peer."""
    for table in ("results", "costs"):
        if _count(record, table) != rows:
            raise BenchError(f"expected {rows} {table}, found {_count(record, table)}")


def _count(record: Record, table: str) -> int:
    row = record.execute(f"select count(*) from {table}").fetchone()
    return int(str(row[0])) if row else 0
