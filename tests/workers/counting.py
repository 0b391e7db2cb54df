"""Counters to test with: a clock that stands, a ledger that is asked, a line that can be cut, calls by the dozen."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jobs.settings import KeyLimits
from routing.limits import Admitted, Refusal, Reservation
from workers.counters import Counters, KeyName, Place, RedisCounters, Spot, Spots
from workers.scripts import RedisAway, Scripts

START_S = 1_800_000_000.0
UNUSED = (0, 0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


class Ledger:
    """Answers how much a key used lately, and counts how often it was asked."""

    def __init__(self, recent: tuple[int, int] | None = UNUSED) -> None:
        self.recent = recent
        self.asked: list[Place] = []

    async def __call__(self, place: Place) -> tuple[int, int] | None:
        self.asked.append(place)
        await asyncio.sleep(0)
        return self.recent


class Cuttable:
    """Counters whose line can be cut."""

    def __init__(self, inner: Counters) -> None:
        self.inner = inner
        self.is_cut = False
        self.asked = 0

    async def _line(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_cut:
            raise RedisAway("cut")

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        await self._line()
        return await self.inner.admit(spots, reservation)

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        await self._line()
        await self.inner.settle(spots, reservation, extra_tokens)


def fresh(limits: KeyLimits) -> Spots:
    """The window of a key that nobody used."""
    return (Spot(Place(KeyName(f"acme-{uuid.uuid4().hex}", 0)), limits),)


def with_model(spots: Spots, model: str, limits: KeyLimits) -> Spots:
    """The same key, and one of its models."""
    return (*spots[:1], Spot(Place(spots[0].place.key, model), limits))


def call(name: str | None = None, tokens: int = 1, ttl_s: float = 150.0, *, urgent: bool = False) -> Reservation:
    return Reservation(name or uuid.uuid4().hex, tokens, ttl_s, urgent)


@contextlib.asynccontextmanager
async def counting_in(url: str, seed: Ledger, clock: Callable[[], float] | None = None) -> AsyncIterator[RedisCounters]:
    scripts = Scripts(url, clock)
    try:
        yield RedisCounters(scripts, seed)
    finally:
        await scripts.aclose()


async def rush(counters: Counters, spots: Spots, calls: int = 50) -> int:
    """How many of so many calls made together are let in."""
    verdicts = await asyncio.gather(*(counters.admit(spots, call(urgent=True)) for _ in range(calls)))
    return sum(isinstance(verdict, Admitted) for verdict in verdicts)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, at most ten seconds."""
    for _ in range(1_000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the condition never came true")
