"""Several workers' gates over one real Redis, each with a connection and ears of its own, by one clock."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable

import redis.asyncio

from jobs.failures import Failure, FailureKind, Scope
from jobs.gatekeys import CHANNEL
from jobs.settings import KeyLimits, Provider, ProviderKey
from jobs.signals import Signals
from routing.catalog import Deployment
from routing.limits import Refusal
from workers.counters import FallbackCounters, MemoryCounters, Place, RedisCounters, Seed
from workers.gate import Entry, Gate, fingerprints
from workers.scripts import Scripts
from workers.shared_health import SharedHealth

BAD = FailureKind.TRANSIENT


def ended(kind: FailureKind | None, retry_after_s: float | None = None, scope: Scope = Scope.MODEL) -> Failure | None:
    """How a call ended; None is success."""
    return None if kind is None else Failure(kind, "no", retry_after_s=retry_after_s, scope=scope)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def unused(_place: Place) -> tuple[int, int | None]:
    return 0, 0


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most ten seconds."""
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition never came true")


class Worker:
    """One worker's gate. `is_deaf` leaves its ears off: it learns by asking only."""

    def __init__(self, fleet: "Fleet", secrets: Callable[[str], str | None], *, is_deaf: bool) -> None:
        self.scripts = Scripts(fleet.url, fleet.shared_clock)
        local = MemoryCounters(fleet.seed, fleet.clock)
        counters = FallbackCounters(RedisCounters(self.scripts, fleet.seed), local, fleet.clock)
        self.health = SharedHealth(self.scripts, fingerprints(fleet.providers, secrets), fleet.clock, lambda: 0.0)
        self.gate = Gate(counters, fleet.providers, secrets, fleet.clock, lambda: 0.0, self.health)
        self.gate.trials.hold_s = 0.0  # these tests hold many calls open that nobody ends
        self.marks: set[bytes] = set()
        self.deployment = fleet.deployment
        self._signals = Signals(fleet.url)
        self._ears = None if is_deaf else asyncio.create_task(self._signals.listen(CHANNEL, self._hear))

    def _hear(self, raw: bytes) -> None:
        self.marks.add(raw)
        self.health.hear(raw)

    async def enter(self, deployment: Deployment | None = None) -> Entry | Refusal:
        return await self.gate.enter(deployment or self.deployment, 100, 30.0)

    async def entered(self, deployment: Deployment | None = None) -> Entry:
        entry = await self.enter(deployment)
        assert isinstance(entry, Entry), entry
        return entry

    async def leave(
        self,
        entry: Entry,
        failure: FailureKind | None = None,
        retry_after_s: float | None = None,
        scope: Scope = Scope.MODEL,
    ) -> None:
        await self.gate.leave(entry, ended(failure, retry_after_s, scope), None)
        await self.health.settled()

    async def call(
        self, failure: FailureKind | None, deployment: Deployment | None = None, scope: Scope = Scope.MODEL
    ) -> None:
        await self.leave(await self.entered(deployment), failure, scope=scope)

    async def is_open(self, deployment: Deployment | None = None) -> bool:
        """Whether a call would be refused, without making one."""
        verdict = await self.enter(deployment)
        if isinstance(verdict, Entry):
            await self.leave(verdict, FailureKind.CANCELLED)
        return isinstance(verdict, Refusal)

    async def stop(self) -> None:
        if self._ears is not None:
            self._ears.cancel()
            await asyncio.wait([self._ears])
        await self.health.aclose()
        await self._signals.close()
        await self.scripts.aclose()


class Fleet:
    """Workers of one provider, whose name nobody else uses."""

    def __init__(self, url: str, *keys: ProviderKey, clock: Clock | None, seed: Seed = unused) -> None:
        self.url = url
        self.shared_clock = clock
        self.clock: Callable[[], float] = clock or time.monotonic
        self.seed = seed
        self.provider = f"ac/me:{{x}}@{uuid.uuid4().hex}"  # a person may call it what he likes
        self.providers = {self.provider: Provider(dialect="openai", base_url="http://acme", keys=keys)}
        self.deployment = Deployment(model="maker/small", provider=self.provider, upstream="small")
        self.other = Deployment(model="maker/large", provider=self.provider, upstream="large")
        self.workers: list[Worker] = []
        self.client = redis.asyncio.Redis.from_url(url)

    async def hire(self, secrets: Callable[[str], str | None] = lambda _: "sk", *, is_deaf: bool = False) -> Worker:
        """One more worker; it knows what Redis knows, and listens."""
        worker = Worker(self, secrets, is_deaf=is_deaf)
        self.workers.append(worker)
        await worker.health.poll()
        if not is_deaf:
            await self.heard(worker)
        return worker

    async def heard(self, *workers: Worker) -> None:
        """Return when these workers have heard everything that was published before."""
        for worker in self.workers:
            await worker.health.settled()
        mark = uuid.uuid4().hex.encode()
        for _ in range(200):  # one that is only connecting may miss a mark or two
            await self.client.publish(CHANNEL, mark)
            for _ in range(10):
                if all(mark in worker.marks for worker in workers):
                    return
                await asyncio.sleep(0.002)
        raise AssertionError("a worker hears nothing")


@contextlib.asynccontextmanager
async def fleet_of(
    url: str, count: int, *keys: ProviderKey, clock: Clock | None = None, seed: Seed = unused
) -> AsyncIterator[Fleet]:
    fleet = Fleet(url, *(keys or (ProviderKey(),)), clock=clock, seed=seed)
    try:
        for _ in range(count):
            await fleet.hire()
        yield fleet
    finally:
        for worker in fleet.workers:
            await worker.stop()
        await fleet.client.aclose()


def key(env: str | None = None, **limits: int) -> ProviderKey:
    return ProviderKey(env=env, limits=KeyLimits(**limits))


async def rush(fleet: Fleet, calls: int = 8) -> list[tuple[Worker, Entry]]:
    """Who is let in when every worker tries so many calls at one moment."""
    tries = [(worker, worker.enter()) for worker in fleet.workers for _ in range(calls)]
    verdicts = await asyncio.gather(*(entering for _, entering in tries))
    return [(worker, entry) for (worker, _), entry in zip(tries, verdicts, strict=True) if isinstance(entry, Entry)]
