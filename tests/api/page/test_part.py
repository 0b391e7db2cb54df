"""Shared readings: one at a time for all who ask, at a pace that their cost sets, and never a stale failure."""

import asyncio

import pytest

from api.page.part import PATIENCE_S, REST, Part


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Counts its readings; each takes `takes_s` of the clock and waits for `gate`."""

    def __init__(self, clock: Clock, takes_s: float = 0.0) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.readings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def read(self) -> int:
        self.readings += 1
        await self.gate.wait()
        self.clock.now_s += self.takes_s
        if self.error:
            raise self.error
        return self.readings


async def test_ten_who_ask_at_once_cost_one_reading():
    clock = Clock()
    source = Source(clock)
    part = Part(source.read, fresh_s=2, clock=clock)
    assert set(await asyncio.gather(*(part.get() for _ in range(10)))) == {1}
    clock.now_s += 1.9
    assert await part.get() == 1
    clock.now_s += 0.2
    assert await part.get() == 2


async def test_a_dear_reading_rests_in_proportion():
    clock = Clock()
    source = Source(clock, takes_s=3.0)
    part = Part(source.read, fresh_s=2, clock=clock)
    assert await part.get() == 1
    clock.now_s += 3.0 * REST - 0.1
    assert await part.get() == 1
    clock.now_s += 0.2
    assert await part.get() == 2


async def test_who_is_out_of_patience_gets_the_last_reading_or_none():
    clock = Clock()
    source = Source(clock)
    source.gate.clear()
    part = Part(source.read, clock=clock)
    assert await part.get(patience_s=0.01) is None
    assert await part.get(patience_s=0.01) is None
    assert source.readings == 1
    source.gate.set()
    assert await part.get(PATIENCE_S) == 1
    source.gate.clear()
    assert await part.get(patience_s=0.01) == 1
    await part.close()


async def test_a_failure_is_told_and_the_next_one_tries_again():
    clock = Clock()
    source = Source(clock)
    part = Part(source.read, fresh_s=2, clock=clock)
    source.error = ConnectionError("away")
    with pytest.raises(ConnectionError):
        await part.get()
    source.error = None
    assert await part.get() == 2
    await part.close()
