"""The promises of the gate about what a provider refuses: no more is closed than was refused, and one call tries it."""

import asyncio

import pytest

from jobs.failures import FailureKind, Scope
from routing.limits import Refusal
from tests.workers.gates import BAD, LLAMA, QWEN, Yard, key


@pytest.mark.parametrize("limits", [{}, {"concurrency": 5}])
async def test_retry_after_closes_the_model_for_so_long_and_no_other(limits):
    yard = Yard(key(**limits))
    await yard.limited(20)
    assert await yard.refused() == Refusal("rate_limit", 20.0)
    await yard.call(None, LLAMA)
    yard.clock.now_s += 20
    await yard.enter()


@pytest.mark.parametrize(
    ("limits_by", "scope"), [(None, Scope.ACCOUNT), ("key", Scope.MODEL), ("key", Scope.ACCOUNT)], ids=str
)
async def test_a_refusal_of_the_whole_account_closes_the_key_for_all_its_models(limits_by, scope):
    yard = Yard(limits_by=limits_by)
    await yard.limited(20, scope)
    for deployment in (QWEN, LLAMA):
        assert await yard.refused(deployment) == Refusal("rate_limit", 20.0)


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.BAD_KEY, FailureKind.NO_CREDIT])
async def test_what_is_refused_to_one_request_closes_nothing(kind):
    yard = Yard()
    await yard.leave(await yard.enter(), kind, 20, Scope.REQUEST)
    await yard.enter()


@pytest.mark.parametrize(
    ("told_s", "kept_s"), [(600.0, 600.0), (7_200.0, 900.0), (None, 1.0), (0.0, 1.0), (float("nan"), 1.0)]
)
async def test_retry_after_is_honoured_tried_every_quarter_of_an_hour_and_never_ignored(told_s, kept_s):
    yard = Yard()
    await yard.limited(told_s)
    assert (await yard.refused()).delay_s == kept_s


@pytest.mark.parametrize("limits", [{}, {"concurrency": 500}])
async def test_when_the_time_is_up_one_call_goes_first_and_its_success_opens_the_model(limits):
    yard = Yard(key(**limits))
    await yard.limited(60)
    yard.clock.now_s += 60
    probe = await yard.enter()
    for _ in range(20):
        assert (await yard.refused()).reason == "rate_limit"
    await yard.leave(probe)
    await asyncio.gather(*(yard.enter() for _ in range(20)))


async def test_when_that_call_is_refused_too_the_others_wait_as_long_again():
    yard = Yard()
    await yard.limited(60)
    for _ in range(3):
        yard.clock.now_s += 60
        await yard.limited(60)
        assert await yard.refused() == Refusal("rate_limit", 60.0)


@pytest.mark.parametrize("kind", [FailureKind.CANCELLED, FailureKind.TRANSIENT, FailureKind.BAD_REQUEST])
async def test_a_call_that_went_first_and_found_nothing_out_hands_on_its_place(kind):
    yard = Yard()
    await yard.limited(60)
    yard.clock.now_s += 60
    await yard.call(kind)
    probe = await yard.enter()
    await yard.refused()
    await yard.leave(probe)
    await yard.enter()


async def test_a_call_that_no_limit_lets_in_does_not_go_first():
    yard = Yard(key(concurrency=1))
    await yard.limited(60)
    yard.clock.now_s += 60
    other = await yard.enter(LLAMA)
    assert (await yard.refused()).reason == "concurrency"
    await yard.leave(other)
    probe = await yard.enter()
    assert probe.ticket.knock.model.is_probe


async def test_a_model_that_closes_while_the_counters_are_asked_lets_nobody_in():
    yard = Yard(key(concurrency=5))
    first = await yard.enter()
    yard.counters.is_open.clear()
    waiting = [asyncio.create_task(yard.gate.enter(QWEN, 100)) for _ in range(3)]
    await asyncio.sleep(0)
    await yard.leave(first, FailureKind.RATE_LIMITED, 20)
    yard.counters.is_open.set()
    assert await asyncio.gather(*waiting) == [Refusal("rate_limit", 20.0)] * 3
    yard.clock.now_s += 20
    await yard.leave(await yard.enter())
    await asyncio.gather(*(yard.enter() for _ in range(5)))


async def test_a_key_that_may_not_use_one_model_works_on_for_the_others():
    yard = Yard(key("FIRST"))
    await yard.call(FailureKind.BAD_KEY)
    assert await yard.refused() == Refusal("key_disabled", 60.0)
    await yard.call(None, LLAMA)
    assert await yard.refused() == Refusal("key_disabled", 60.0), "the other model's success says nothing of this one"


async def test_a_closed_model_passes_on_to_the_next_key():
    yard = Yard(key("FIRST"), key("SECOND"))
    await yard.limited(20)
    assert (await yard.enter()).secret == "sk-second"
    assert (await yard.enter(LLAMA)).secret == "sk-first"


async def test_a_retry_after_beside_another_failure_closes_nothing():
    yard = Yard()
    await yard.leave(await yard.enter(), BAD, retry_after_s=20)
    await yard.enter()
