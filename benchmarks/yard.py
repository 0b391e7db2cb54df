"""Runs the yard: jobs end to end, and what it holds while many wait (bulk submits, Redis, a worker's memory)."""

import json
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from benchmarks.figures import UPSTREAM, Figures, Times, measure
from benchmarks.meter import Meter, difference
from benchmarks.stage import BenchError, Driver, Stage
from cli import ask, processes
from cli.processes import Process, environment
from cli.yard import CHECKOUT, next_free_port
from jobs import ids

DELAY_MS = 200.0
SLOW_MS = 2000.0
WARM_UP_JOBS = 200
BULK_JOBS, BULK_SUBMITS = 10_000, 5
IN_FLIGHT = 500
HOST, FIRST_PORT = "127.0.0.1", 8600
LANES = ("interactive", "standard", "bulk")
SLOTS = 32
SETTLED_LOOKS = 5
CONFIG = """\
[worker]
calls_in_flight = {calls_in_flight}

[providers.bench]
dialect = "openai"
base_url = "{upstream_url}"

[[models]]
id = "bench/bench-1"
context_tokens = 128_000
max_output_tokens = 4_096
has_logprobs = true
source = "the bench's upstream"

[[deployments]]
model = "bench/bench-1"
provider = "bench"
upstream = "bench-1"
price = {{ input = "0.36", output = "0.40", valid_from = "2026-05-01", source = "as the peers in this bench" }}

[policies.bench]
tiers = [["bench/bench-1"]]
"""
ENDED = """
select (select count(*) from jobs where batch_id = %(batch)s and state = 'succeeded'),
    (select extract(epoch from max(finished_at))::float8 from jobs where batch_id = %(batch)s),
    (select count(*) from attempts where outcome = 'accepted' and cost_usd is not null
        and job_id in (select id from jobs where batch_id = %(batch)s))
"""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What the yard holds while jobs wait."""

    bulk_s: list[float]
    """Each bulk submit of 10,000 jobs, first byte to 202."""
    bulk_cpu_ms: float
    """A job's in those submits, over API, Postgres, dispatcher and Redis."""
    waiting: int
    """Jobs that waited when Redis was weighed."""
    redis_mb: float
    """More than when it was empty."""
    in_flight: int
    """Calls that the upstream held at most while the worker was weighed."""
    worker_rss_mb: float
    worker_pss_mb: float

    @property
    def best_s(self) -> float:
        """The fastest bulk submit."""
        return min(self.bulk_s)

    @property
    def median_s(self) -> float:
        """The middle one."""
        return statistics.median(self.bulk_s)


class BenchYard:
    """A yard on a stage, without its worker; `start_worker` adds the one process for all lanes."""

    def __init__(self, stage: Stage, calls_in_flight: int) -> None:
        self.stage = stage
        config = stage.folder / "tokenyard.toml"
        text = CONFIG.format(calls_in_flight=calls_in_flight, upstream_url=stage.upstream_url)
        config.write_text(text, encoding="utf-8")
        self._addresses = {
            "TOKENYARD_DATABASE_URL": stage.postgres.url,
            "TOKENYARD_REDIS_URL": stage.redis.url,
            "TOKENYARD_CONFIG": str(config.absolute()),
        }
        self._run(processes.migrate())
        key = self._run(processes.bootstrap_key()).splitlines()[-1]
        port = next_free_port(HOST, FIRST_PORT)
        self.caller = {"YARD_URL": f"http://{HOST}:{port}", "YARD_KEY": key}
        self._start("api", processes.api(HOST, port))
        self.start_dispatcher()
        stage.wait(self._is_ready, "the API is ready", "api")

    def start_dispatcher(self) -> None:
        """Start the one dispatcher."""
        self._start("dispatcher", processes.dispatcher())

    def start_worker(self) -> None:
        """Start the worker process and wait until it listens."""
        self._start("worker", processes.worker("all", LANES, SLOTS))
        self.stage.wait_for_consumer()

    def start_interactive_worker(self) -> None:
        """Start a worker of the interactive lane alone, as `tokenyard up` does."""
        self._start("worker", processes.worker("interactive", ("interactive",), SLOTS))
        self.stage.wait_for_consumer()

    def submit(self, jobs: int) -> float:
        """Submit a bulk and leave it; returns the seconds from its first byte to the 202."""
        driver = self._driver(jobs, "--leave")
        driver.go()
        facts = driver.mark()
        self.stage.stop("submitter")
        return float(facts["submit_s"])

    def carry(self, jobs: int) -> Times:
        """Submit a bulk and wait until all its jobs have ended, with the driver ready before."""
        driver = self._driver(jobs)
        driver.go()
        return self._finish(driver.mark(), driver.mark())

    def _driver(self, jobs: int, *options: str) -> Driver:
        return self.stage.driver("benchmarks.submit", str(jobs), *options, environment=self.caller)

    def _finish(self, facts: dict[str, Any], ended: dict[str, Any]) -> Times:
        return Times(
            began_s=facts["began_s"],
            ended_s=self._checked_end(str(facts["batch"]), int(ended["ended"])),
            submit_s=facts["submit_s"],
        )

    def figures(self, jobs: int) -> Figures:
        """Carry jobs with the meter on."""
        driver = self._driver(jobs)

        def run() -> Times:
            driver.go()
            return self._finish(driver.mark(), driver.mark())

        return measure(self.stage, "tokenyard, one worker", jobs, run)

    def _checked_end(self, batch: str, jobs: int) -> float:
        """When the last job ended, by the database's clock. Raises BenchError unless each succeeded, with its cost."""
        with psycopg.connect(self.stage.postgres.url) as record:
            row = record.execute(ENDED, {"batch": ids.read("batch", batch)}).fetchone()
        if row is None or row[0] != jobs or row[2] != jobs:
            raise BenchError(f"expected {jobs} jobs succeeded with an accepted, priced attempt each; found {row}")
        return float(row[1])

    def _is_ready(self) -> bool:
        reply = ask.get(self.caller["YARD_URL"], "/readyz")
        return reply is not None and reply.status == 200

    def _start(self, group: str, process: Process) -> None:
        self.stage.start(group, process.argv, environment(process, self._addresses))

    def _run(self, process: Process) -> str:
        done = subprocess.run(
            process.argv,
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            env=environment(process, self._addresses),
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{process.name} failed (exit {done.returncode}):\n{done.stderr[-2000:]}")
        return done.stdout.strip()


@contextmanager
def staged(folder: Path, delay_ms: float, calls_in_flight: int) -> Iterator[tuple[BenchYard, float]]:
    """A yard without a worker, and what its Redis held when it was empty, in MB."""
    with Stage(folder) as stage:
        stage.start_upstream(delay_ms)
        stage.start_servers()
        empty_mb = stage.redis_used_mb()
        yield BenchYard(stage, calls_in_flight), empty_mb


def end_to_end(folder: Path, jobs: int) -> Figures:
    """Jobs from the first byte of the submit to the last row, after a warm-up as the peers have it."""
    with staged(folder, DELAY_MS, 1024) as (yard, _):
        yard.start_worker()
        yard.carry(WARM_UP_JOBS)
        yard.stage.stop("submitter")
        return yard.figures(jobs)


def room(folder: Path) -> Room:
    """Five bulk submits while no worker runs; then Redis' weight; then a worker's, with 500 calls in flight."""
    with staged(folder, SLOW_MS, IN_FLIGHT) as (yard, empty_mb):
        stage = yard.stage
        servers = Meter({name: pids for name, pids in stage.pids.items() if name != UPSTREAM})
        before = servers.cpu_ms()
        bulk_s = [yard.submit(BULK_JOBS) for _ in range(BULK_SUBMITS)]
        spent = difference(before, servers.cpu_ms())
        with psycopg.connect(stage.postgres.url, autocommit=True) as record:
            settle(stage, record)
            waiting = _count(record, "select count(*) from jobs where state = 'queued'")
        redis_mb = stage.redis_used_mb() - empty_mb
        yard.start_worker()
        meter = Meter({"worker": stage.pids["worker"]})
        stage.wait(lambda: _held(stage) >= IN_FLIGHT, f"{IN_FLIGHT} calls are in flight", "worker")
        with meter.watching() as peak:
            calls = _stats(stage)["calls"]
            # Two rounds of answers later its memory has seen all of a call's life.
            stage.wait(lambda: _stats(stage)["calls"] >= calls + 2 * IN_FLIGHT, "two rounds were answered", "worker")
        pss_mb = meter.pss_mb()["worker"]
        return Room(
            bulk_s=bulk_s,
            bulk_cpu_ms=sum(spent.values()) / (BULK_JOBS * BULK_SUBMITS),
            waiting=waiting,
            redis_mb=redis_mb,
            in_flight=_stats(stage)["peak"],
            worker_rss_mb=peak.rss_mb["worker"],
            worker_pss_mb=pss_mb,
        )


def settle(stage: Stage, record: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Wait until the dispatcher releases no more: five looks in a row alike."""
    seen: list[int] = []

    def is_settled() -> bool:
        seen.append(_count(record, "select count(*) from jobs where released_at is not null"))
        return len(seen) >= SETTLED_LOOKS and len(set(seen[-SETTLED_LOOKS:])) == 1

    stage.wait(is_settled, "the dispatcher rests", "dispatcher")


def _count(record: psycopg.Connection[tuple[Any, ...]], query: str) -> int:
    row = record.execute(query).fetchone()
    return int(row[0]) if row else 0


def _stats(stage: Stage) -> dict[str, int]:
    """The upstream's counts: calls, held, peak."""
    reply = ask.get(stage.upstream_url.removesuffix("/v1"), "/stats")
    if reply is None:
        raise BenchError("the upstream does not answer")
    counts: dict[str, int] = json.loads(reply.body)
    return counts


def _held(stage: Stage) -> int:
    return _stats(stage)["held"]
