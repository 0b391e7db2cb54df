"""The promises of trials: a model that has not answered lately is tried by one call, and nobody waits long for it."""

import asyncio

import pytest

from jobs.failures import FailureKind
from tests.workers.fleet import Clock
from workers.counters import KeyName, Place
from workers.trials import TRUST_S, Trials

PLACE, OTHER = Place(KeyName("acme", 0), "small"), Place(KeyName("acme", 0), "large")
LIMITED = FailureKind.RATE_LIMITED


class Bench:
    """Trials whose trying call never lasts longer than the test wants."""

    def __init__(self, hold_s: float = 60.0) -> None:
        self.clock = Clock()
        self.trials = Trials(self.clock)
        self.trials.hold_s = hold_s

    def end(self, failure: FailureKind | None) -> None:
        self.trials.heard(PLACE, failure, is_closed=failure is LIMITED)
        self.trials.end(PLACE)

    async def waiting(self, count: int) -> "list[asyncio.Task[bool]]":
        tasks = [asyncio.create_task(self.trials.turn(PLACE)) for _ in range(count)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        return tasks


async def test_the_first_call_tries_and_the_others_follow_when_it_was_answered():
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    others = await bench.waiting(20)
    bench.end(None)
    assert await asyncio.gather(*others) == [False] * 20
    assert not await bench.trials.turn(PLACE)


async def test_another_model_is_tried_by_itself():
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    assert await bench.trials.turn(OTHER)


async def test_after_a_refusal_the_next_call_tries_again_one_at_a_time():
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    others = await bench.waiting(3)
    bench.end(LIMITED)
    done, left = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [True]
    bench.end(None)
    assert await asyncio.gather(*left) == [False] * 2


@pytest.mark.parametrize("failure", [FailureKind.TRANSIENT, FailureKind.BAD_REQUEST, FailureKind.MALFORMED, None])
async def test_whatever_else_the_provider_answers_it_limits_nobody(failure):
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    bench.end(failure)
    assert bench.trials.is_trusted(PLACE)


@pytest.mark.parametrize("failure", [FailureKind.CANCELLED, FailureKind.UNREACHABLE, FailureKind.TIMEOUT])
async def test_a_call_that_the_provider_did_not_answer_found_nothing_out(failure):
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    bench.end(failure)
    assert await bench.trials.turn(PLACE)


async def test_trust_ends_with_a_refusal_or_after_some_minutes():
    bench = Bench()
    bench.trials.heard(PLACE, None, is_closed=False)
    assert bench.trials.is_trusted(PLACE)
    bench.trials.heard(PLACE, LIMITED, is_closed=True)
    assert not bench.trials.is_trusted(PLACE)
    bench.trials.heard(PLACE, None, is_closed=False)
    bench.clock.now_s += TRUST_S
    assert not bench.trials.is_trusted(PLACE)


async def test_a_call_that_takes_as_long_as_an_answer_holds_nobody_up():
    bench = Bench(hold_s=0.0)
    assert await bench.trials.turn(PLACE)
    assert await asyncio.gather(*(bench.trials.turn(PLACE) for _ in range(20))) == [False] * 20


async def test_who_waits_goes_when_the_hold_is_over_though_nobody_answered():
    bench = Bench(hold_s=0.01)
    assert await bench.trials.turn(PLACE)
    others = await bench.waiting(5)
    async with asyncio.timeout(10):
        assert await asyncio.gather(*others) == [False] * 5


async def test_a_waiting_caller_that_is_cancelled_stands_in_nobodys_way():
    bench = Bench()
    assert await bench.trials.turn(PLACE)
    first, second = await bench.waiting(2)
    first.cancel()
    bench.end(None)
    assert await second is False
    with pytest.raises(asyncio.CancelledError):
        await first
