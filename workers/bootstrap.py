"""The worker's composition root: the one place where the real things are chosen."""

import datetime as dt
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID, uuid4

from msgspec.structs import replace

from jobs import meters
from jobs.collector import calm_the_collector
from jobs.configuration import load_catalog, providers_on
from jobs.gatekeys import CHANNEL
from jobs.job import Job
from jobs.lanes import Lane
from jobs.lessons import Lessons
from jobs.settings import Settings, SettingsError
from jobs.signals import CANCEL, Signals
from jobs.store.beats import Beats
from jobs.store.direct import Direct
from jobs.store.fleet import Presence
from jobs.store.recent import last_minute
from jobs.store.session import ANSWER_TIMEOUT_S, Database, StoreUnavailable
from routing.catalog import Catalog
from routing.dialects.registry import check_accents
from routing.learn.fits import Fit
from routing.plan import Plan, UnknownName, Yard, plan, policy_for
from workers.counters import FallbackCounters, MemoryCounters, Place, RedisCounters, Seed
from workers.gate import Gate, fingerprints
from workers.intake import GIVE_BACK_S, Intake
from workers.leases import Beater, Stop
from workers.loop import LoopThread
from workers.parts import Parts
from workers.scripts import Scripts
from workers.shared_health import SharedHealth
from workers.transport import Transport

log = logging.getLogger(__name__)
CELERY_GRACE_S = 3.0
"""Celery's main thread takes a turn each second, unless it waits for a Redis that does not answer."""
CLOSE_S = 5.0
"""Longest wait for connections to be given back."""
LANES_VARIABLE = "TOKENYARD_LANES"
NAME_VARIABLE = "TOKENYARD_WORKER"
UNCOUNTED_WORKERS = 4
"""Until the first beat has counted them: with Redis away a worker that just started must not take the whole limit."""


def lanes_of_this_process() -> tuple[Lane, ...]:
    """The lanes in TOKENYARD_LANES (comma-separated); all but quarantine when it is unset. Raises SettingsError."""
    named = os.environ.get(LANES_VARIABLE, "interactive,standard,bulk")
    try:
        lanes = tuple(Lane(part.strip()) for part in named.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(f"{LANES_VARIABLE}: {error}; lanes are {', '.join(Lane)}") from None
    if Lane.QUARANTINE in lanes and len(lanes) > 1:
        raise SettingsError(f"{LANES_VARIABLE}: quarantine needs a process of its own: a job there may kill it")
    return lanes


def in_quarantine(settings: Settings) -> Settings:
    """The settings of a quarantine worker: one job at a time."""
    return replace(settings, worker=replace(settings.worker, slots=1, calls_in_flight=1))


def planner(
    settings: Settings, catalog: Catalog, fits: Mapping[str, Fit] | None = None
) -> Callable[[Job], Plan | UnknownName]:
    """The decision of every job's route, over this process's settings, catalogue and what it learns of tokens."""
    enabled, fits = providers_on(settings), {} if fits is None else fits
    yard = Yard(catalog, enabled, settings.policies_version, providers=settings.providers, fits=fits)

    def plan_job(job: Job) -> Plan | UnknownName:
        nonlocal yard
        yard = yard.on(dt.datetime.now(dt.UTC).date())
        policy = policy_for(job.request.model, job.policy, settings.policies, catalog)
        if isinstance(policy, UnknownName):
            return policy
        return plan(job.id, job.request, policy, job.intent, yard, strict=job.strict)

    return plan_job


def seeder(database: Database, catalog: Catalog) -> Seed:
    """Fills a lost counter from the ledger's last minute; None while Postgres is away, too."""

    async def seed(place: Place) -> tuple[int, int | None] | None:
        provider, named = place.key.provider, None
        if place.model:
            named = [each.id for each in catalog.at({provider}) if each.upstream == place.model]
        try:
            async with database.statement() as connection:
                return await last_minute(connection, provider, dt.datetime.now(dt.UTC), named)
        except StoreUnavailable:
            return None

    return seed


async def build(settings: Settings) -> Parts:
    """Choose the real things. A coroutine, because some of them bind to the loop they are made on."""
    record = Database(settings.database_url, pool_size=2)
    beside = Database(settings.database_url, pool_size=2, durable=False)
    # Limits are kept fleet-wide in Redis; while it is away, by this worker's own share of them.
    scripts, catalog = Scripts(settings.redis_url), load_catalog(settings)
    seed = seeder(beside, catalog)
    local = MemoryCounters(seed, time.monotonic)
    counters = FallbackCounters(RedisCounters(scripts, seed), local, time.monotonic)
    counters.live_workers = UNCOUNTED_WORKERS
    keys = fingerprints(settings.providers, os.environ.get)
    health = SharedHealth(scripts, keys, time.monotonic, random.random)
    gate = Gate(counters, settings.providers, os.environ.get, time.monotonic, random.random, health)
    transport = Transport(allow_real=settings.allow_real_calls)
    claims = Direct(settings.database_url, durable=False, answer_timeout_s=ANSWER_TIMEOUT_S)
    parts = Parts(settings, claims, record, gate, transport, Signals(settings.redis_url))
    check_accents(settings.providers)
    lessons = Lessons(beside)  # its commits may be lost in a crash: some seconds' lessons
    parts.plan = planner(settings, catalog, lessons.fits)
    parts.saw_usage = lessons.see
    parts.background += [lessons.work, health.work, partial(parts.signals.listen, CHANNEL, health.hear)]
    parts.closers += [health.aclose, scripts.aclose, beside.close]
    parts.share_limits = partial(setattr, counters, "live_workers")
    await health.poll()  # what is sick already should cost a new worker no call
    return parts


def presence_of(settings: Settings, lanes: Sequence[Lane]) -> Presence:
    """What this process says of itself in the registry."""
    worker, host, pid = settings.worker, socket.gethostname(), os.getpid()
    return Presence(
        id=uuid4(),
        name=os.environ.get(NAME_VARIABLE, f"worker-{pid}"),
        host=host,
        pid=pid,
        lanes=tuple(lane.value for lane in lanes),
        slots=worker.slots,
        calls_in_flight=worker.calls_in_flight,
        beat_s=worker.beat_s,
    )


class Worker:
    """A worker process at work: its loop, its beat, its poll. Made once, when Celery has started."""

    def __init__(self, settings: Settings) -> None:
        lanes = lanes_of_this_process()
        if Lane.QUARANTINE in lanes:
            settings = in_quarantine(settings)
        self._settings = settings
        calm_the_collector()
        self._loop = LoopThread()
        self._parts = self._loop.run(build(settings))
        self._intake = Intake(self._parts, lanes)
        meters.LEASES_HELD.set_function(self._parts.leases.__len__)
        beats = Beats(settings.database_url, presence_of(settings, lanes))
        self._beater = Beater(beats, self._parts.leases, self._loop, settings.worker, self._parts.share_limits)
        self._beater.start()
        self._stopping = threading.Lock()
        self._is_stopped = False
        self._loop.start(self._intake.poll())
        self._loop.start(meters.watch_loop())
        self._metrics = meters.told(settings.telemetry, meters.WORKER)
        self._loop.start(self._parts.signals.hear(CANCEL, self._cancel))
        for work in self._parts.background:
            self._loop.start(work())

    def _cancel(self, job_ids: list[UUID]) -> None:
        self._parts.leases.stop(job_ids, Stop.CANCELLED)

    def answer(self, job_ids: list[UUID]) -> str:
        """Carry a bell's jobs; holds the calling thread until they rest."""
        return self._loop.run(self._intake.answer(job_ids))

    def start_draining(self, patience_s: float | None = None) -> None:
        """Take nothing new and give back what does not finish in time (`drain_s`); returns at once.

        Celery's own shutdown follows, in the main thread. Where that hangs, on a Redis that is frozen, say, the
        process ends without it soon after all jobs have ended or are given back.
        """
        patience_s = self._settings.worker.drain_s if patience_s is None else patience_s
        threading.Thread(target=self._drain_and_end, args=[patience_s], name="tokenyard-end", daemon=True).start()

    def _drain_and_end(self, patience_s: float) -> None:
        with suppress(TimeoutError):
            self._loop.run(self._intake.drain(patience_s), patience_s + GIVE_BACK_S)
        time.sleep(CELERY_GRACE_S)  # a process that ends by itself takes this thread along
        log.warning("Celery does not let go; all jobs are at rest, so this process ends without it")
        if self._stopping.acquire(timeout=CELERY_GRACE_S):
            with suppress(TimeoutError):
                self._stop()
        os._exit(0)

    def stop(self) -> None:
        """End what is left, then the beat and the loop. The second who asks finds nothing to do."""
        with self._stopping, suppress(TimeoutError):
            self._stop()

    def _stop(self) -> None:
        """Raises TimeoutError when a part does not let go; what matters is written by then."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._metrics is not None:
            self._metrics.shutdown()
        drain_s = self._settings.worker.drain_s
        self._loop.run(self._intake.drain(drain_s), drain_s + GIVE_BACK_S)
        self._beater.stop()
        self._loop.run(self._parts.close(), CLOSE_S)
        self._loop.stop()
