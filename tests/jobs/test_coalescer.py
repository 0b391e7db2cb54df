"""What is asked while an answer is on its way is asked together next, and nobody waits for ever."""

import asyncio
from typing import Any

import pytest

from jobs.coalescer import Coalescer


class Oracle:
    """Doubles numbers, when it may."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may = asyncio.Event()
        self.error: BaseException | None = None

    async def __call__(self, numbers: list[int]) -> list[int]:
        self.asked.append(numbers)
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return [2 * number for number in numbers]


async def asking(coalescer: Coalescer[int, int], *numbers: int) -> "list[asyncio.Task[int]]":
    tasks = [asyncio.create_task(coalescer.ask(number)) for number in numbers]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_asks_alone_is_answered_at_once():
    oracle = Oracle()
    oracle.may.set()
    assert await Coalescer(oracle).ask(4) == 8
    assert oracle.asked == [[4]]


async def test_what_comes_meanwhile_is_asked_in_one_and_each_gets_its_own_reply():
    oracle = Oracle()
    coalescer = Coalescer(oracle)
    first = await asking(coalescer, 1)
    later = await asking(coalescer, 2, 3, 2)
    assert oracle.asked == [[1]]
    oracle.may.set()
    assert await asyncio.gather(*first, *later) == [2, 4, 6, 4]
    assert oracle.asked == [[1], [2, 3, 2]]


async def test_an_error_is_told_to_all_that_asked_and_the_next_ones_are_answered():
    oracle = Oracle()
    coalescer = Coalescer(oracle)
    oracle.error = ValueError("no")
    oracle.may.set()
    told: list[Any] = await asyncio.gather(*(coalescer.ask(number) for number in range(5)), return_exceptions=True)
    assert all(isinstance(each, ValueError) for each in told)
    oracle.error = None
    assert await coalescer.ask(1) == 2


async def test_who_has_gone_is_not_told_and_the_others_are():
    oracle = Oracle()
    coalescer = Coalescer(oracle)
    await asking(coalescer, 0)
    gone, there = await asking(coalescer, 1, 2)
    gone.cancel()
    oracle.may.set()
    assert await there == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_when_the_answering_is_cut_short_nobody_waits_for_ever_and_who_came_meanwhile_is_answered():
    oracle = Oracle()
    coalescer = Coalescer(oracle)
    (cut,) = await asking(coalescer, 1)
    (later,) = await asking(coalescer, 2)
    assert coalescer._answering is not None
    coalescer._answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    oracle.may.set()
    assert await later == 4


async def test_who_asks_in_the_moment_in_which_the_answering_ends_is_answered():
    async def nothing(numbers: list[int]) -> list[int]:
        return numbers

    coalescer = Coalescer(nothing)

    async def late() -> None:
        await asyncio.sleep(0)  # what the other one has started runs now, before this goes on
        assert await coalescer.ask(7) == 7

    async with asyncio.timeout(5):
        await asyncio.gather(coalescer.ask(1), late())
