"""F15 and F21, short: storms of 429, a model that is always limited, a provider that flaps: minutes in a second.

The clock is moved by the test (the scripts', too); Redis, its scripts and its messages are real.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from jobs.failures import FailureKind
from jobs.gatekeys import key_text, limits_key, slots_key, subject_of
from routing.breaker import PROBES, Breaker
from routing.catalog import Deployment
from routing.limits import Refusal
from tests.workers.fleet import Clock, Fleet, Worker, fleet_of, key
from workers.counters import Place

WORKERS = 4
WINDOW_S = 60.0

UNHURRIED_S = 60.0
"""Longest wait for the call that tries: so long that a busy machine does not end it, where half a second might."""


class Provider:
    """Answers by the time; remembers every call: (when, how it ended)."""

    def __init__(self, clock: Clock, answer: Callable[[float], FailureKind | None]) -> None:
        self._clock = clock
        self._began_s = clock()
        self._answer = answer
        self.calls: list[tuple[float, FailureKind | None]] = []

    @property
    def now_s(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began_s

    def call(self) -> FailureKind | None:
        ended = self._answer(self.now_s)
        self.calls.append((self.now_s, ended))
        return ended

    def called(self, since_s: float, until_s: float) -> int:
        return sum(since_s <= when < until_s for when, _ in self.calls)

    def most_in_a_minute(self) -> int:
        """Of all windows of 60 s the fullest."""
        times = [when for when, _ in self.calls]
        return max(self.called(start, start + WINDOW_S) for start in times)


async def attempt(fleet: Fleet, worker: Worker, provider: Provider, retry_after_s: float | None = None) -> bool:
    """One try; whether it was let in."""
    verdict = await worker.enter()
    if isinstance(verdict, Refusal):
        return False
    await worker.leave(verdict, provider.call(), retry_after_s)
    return True


def trips_of(fleet: Fleet) -> int:
    """How often the provider's breaker opened in a row; 0: it is closed. Every worker says the same."""
    subject = subject_of("provider", fleet.provider)
    found = [worker.health.local.breakers.get(subject, Breaker()) for worker in fleet.workers]
    (trips,) = {known.trips if known.is_tripped else 0 for known in found}
    return trips


async def tick(fleet: Fleet, provider: Provider, clock: Clock) -> int:
    """Half a second of a fleet that would like to make 24 calls a second; how many it made."""
    before = len(provider.calls)
    for worker in fleet.workers * 3:
        await attempt(fleet, worker, provider)
    await fleet.heard(*fleet.workers)
    clock.now_s += 0.5
    return len(provider.calls) - before


async def test_f21_a_flapping_provider_is_probed_by_the_fleet_as_by_one(redis_url):
    clock = Clock()
    dead_s, back_s = 20.0, 140.0
    flapping = itertools.cycle([FailureKind.TRANSIENT, None])
    provider = Provider(
        clock, lambda now_s: None if now_s >= back_s else FailureKind.TRANSIENT if now_s >= dead_s else next(flapping)
    )
    probes: Counter[int] = Counter()
    async with fleet_of(redis_url, WORKERS, clock=clock) as fleet:
        trips = 0
        while provider.now_s < back_s or trips:
            made, before, trips = await tick(fleet, provider, clock), trips, trips_of(fleet)
            if before and before == trips:  # open all the while: whatever was called was a probe
                probes[trips] += made
            elif before and trips and provider.calls[-made][1] is not None:
                assert made == 1, "the probe that failed"
            assert provider.now_s < 600
        closed_s = provider.now_s
        assert closed_s - back_s <= 120, "it is found well again within the interval that ran"
        assert await tick(fleet, provider, clock) == 12
    assert max(probes) >= 4, "15, 30, 60 and 120 s at the least"
    assert max(probes.values()) <= PROBES


@pytest.mark.parametrize("limits", [{}, {"requests_per_minute": 600}], ids=["unlimited", "limited"])
async def test_f15_a_429_of_one_worker_stops_them_all(redis_url, limits):
    clock = Clock()
    provider = Provider(clock, lambda now_s: FailureKind.RATE_LIMITED if now_s < 20 else None)
    async with fleet_of(redis_url, WORKERS, key(**limits), clock=clock) as fleet:
        in_flight = [await worker.entered() for worker in fleet.workers]
        for worker, entry in zip(fleet.workers, in_flight, strict=True):
            await worker.leave(entry, provider.call(), 20.0)
        while provider.now_s < 20:
            for worker in fleet.workers:
                await attempt(fleet, worker, provider, 20.0)
            clock.now_s += 1
        assert provider.called(0, 20) <= WORKERS
        assert [await attempt(fleet, worker, provider) for worker in fleet.workers[:1]] == [True]
        await fleet.heard(*fleet.workers)
        for worker in fleet.workers:
            await worker.entered()


async def test_f15_limiter_keys_that_vanish_are_filled_again_from_the_ledger(redis_url):
    clock, limit = Clock(), 600
    provider = Provider(clock, lambda now_s: FailureKind.RATE_LIMITED if 20 <= now_s < 40 else None)

    async def recent(_place: Place) -> tuple[int, int | None]:
        return provider.called(provider.now_s - WINDOW_S, provider.now_s + 1), 0

    async with fleet_of(redis_url, WORKERS, key(requests_per_minute=limit), clock=clock, seed=recent) as fleet:
        text = key_text(fleet.provider, 0)
        while provider.now_s < 105:
            if provider.now_s in {12.0, 50.0, 60.0, 70.0, 80.0, 90.0}:
                await fleet.client.delete(limits_key(text), slots_key(text))
            for worker in fleet.workers:
                while await attempt(fleet, worker, provider, 40 - provider.now_s):
                    pass
            clock.now_s += 0.5
    assert provider.called(20, 40) <= WORKERS
    assert provider.most_in_a_minute() <= limit * 1.05
    open_s = 105 - 20
    assert len(provider.calls) >= open_s * limit / WINDOW_S / 1.2, "and what is allowed is used"


JOBS, RETRY_AFTER_S = 200, 60.0


class Interleaved:
    """Jobs of two models with one key: `hot` is refused for ever, `healthy` never. Refused jobs come back when told."""

    def __init__(self, fleet: Fleet, clock: Clock, models: list[tuple[Deployment, Provider]]) -> None:
        self._fleet, self._clock = fleet, clock
        self._models = {deployment.upstream: provider for deployment, provider in models}
        self.turns: Counter[str] = Counter()
        """By model: how often its jobs came to the gate."""
        jobs = [deployment for _ in range(JOBS) for deployment, _ in models]
        self._due = [(clock(), number, deployment) for number, deployment in enumerate(jobs)]

    async def _turn(self, number: int, deployment: Deployment) -> None:
        """One job at the gate of one of the workers; it comes again unless it got an answer."""
        worker, delay_s = self._fleet.workers[number % len(self._fleet.workers)], RETRY_AFTER_S
        self.turns[deployment.upstream] += 1
        verdict = await worker.enter(deployment)
        if isinstance(verdict, Refusal):
            delay_s = verdict.delay_s
        else:
            for _ in range(5):
                await asyncio.sleep(0)
            failure = self._models[deployment.upstream].call()
            await worker.leave(verdict, failure, RETRY_AFTER_S)
            if failure is None:
                return
        self._due.append((self._clock() + delay_s * (1 + number / 1_000), number, deployment))

    async def run(self, until_s: float) -> None:
        """Let everybody come whose time it is, all together, until nobody is left or the time is over."""
        end_s = self._clock() + until_s
        while self._due and self._clock() < end_s:
            now = [job for job in self._due if job[0] <= self._clock()]
            self._due = [job for job in self._due if job[0] > self._clock()]
            await asyncio.gather(*(self._turn(number, deployment) for _, number, deployment in now))
            await self._fleet.heard(*self._fleet.workers)
            self._clock.now_s = max(self._clock.now_s, min((at_s for at_s, _, _ in self._due), default=end_s))


@pytest.mark.parametrize("limits", [{}, {"requests_per_minute": 60_000}], ids=["unlimited", "limited"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_model_that_is_always_limited_is_called_twice_a_window_and_holds_up_no_other(
    redis_url, workers, limits
):
    clock = Clock()
    async with fleet_of(redis_url, workers, key(**limits), clock=clock) as fleet:
        for worker in fleet.workers:
            worker.gate.trials.hold_s = UNHURRIED_S
        hot, healthy = Provider(clock, lambda _: FailureKind.RATE_LIMITED), Provider(clock, lambda _: None)
        jobs = Interleaved(fleet, clock, [(fleet.deployment, hot), (fleet.other, healthy)])
        await jobs.run(300)
    assert jobs.turns[fleet.other.upstream] == len(healthy.calls) == JOBS, "each came once and was let in"
    assert {when for when, _ in healthy.calls} == {0.0}, "at once: as fast as alone"
    assert hot.most_in_a_minute() <= 2
    assert hot.called(60, 300) >= 3, "and it is asked again and again"
