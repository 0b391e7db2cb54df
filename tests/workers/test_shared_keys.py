"""The promises of keys and models that a fleet leaves alone together: one opinion, and one call that tries them."""

import asyncio

import pytest

from jobs.failures import FailureKind, Scope
from jobs.gatekeys import closings_key, key_text
from routing.catalog import Deployment
from routing.limits import Refusal
from tests.workers.fleet import Clock, Worker, ended, fleet_of, key, rush, until
from workers.gate import Entry


async def limited(worker: Worker, seconds: float | None, scope: Scope = Scope.MODEL) -> None:
    """One call that is told to wait for so long."""
    await worker.leave(await worker.entered(), FailureKind.RATE_LIMITED, seconds, scope)


@pytest.mark.parametrize("limits", [{}, {"requests_per_minute": 60_000}])
@pytest.mark.parametrize("scope", [Scope.MODEL, Scope.ACCOUNT])
async def test_retry_after_closes_for_the_fleet_what_it_is_about(redis_url, limits, scope):
    async with fleet_of(redis_url, 3, key(**limits), clock=Clock()) as fleet:
        await limited(fleet.workers[0], 20, scope)
        await until(lambda: all(worker.health.local.keys.closings for worker in fleet.workers))
        for worker in [*fleet.workers, await fleet.hire(is_deaf=True)]:
            assert await worker.enter() == Refusal("rate_limit", 20.0)
            assert isinstance(await worker.enter(fleet.other), Refusal if scope is Scope.ACCOUNT else Entry)


async def test_when_a_closings_time_is_up_the_fleet_sends_one_call(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 4, clock=clock) as fleet:
        await limited(fleet.workers[0], 60)
        await fleet.heard(*fleet.workers)
        clock.now_s += 60
        ((worker, entry),) = await rush(fleet)
        clock.now_s += 6
        assert await rush(fleet) == []
        await worker.leave(entry, FailureKind.RATE_LIMITED, 60)
        await fleet.heard(*fleet.workers)
        assert [await each.enter() for each in fleet.workers] == [Refusal("rate_limit", 60.0)] * 4
        clock.now_s += 60
        ((worker, entry),) = await rush(fleet)
        await worker.leave(entry)
        await fleet.heard(*fleet.workers)
        assert len(await rush(fleet)) == 32


async def test_a_closings_probe_that_died_is_replaced_and_one_that_was_cut_hands_on(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, clock=clock) as fleet:
        one, other = fleet.workers
        await limited(one, 60)
        await fleet.heard(one, other)
        clock.now_s += 60
        await one.entered()  # and dies
        clock.now_s += 59
        assert isinstance(await other.enter(), Refusal)
        clock.now_s += 3
        await other.call(FailureKind.CANCELLED)
        await other.entered()


async def test_a_caller_cancelled_while_it_asked_to_be_a_closings_probe_leaves_none_behind(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 1, clock=clock) as fleet:
        (worker,) = fleet.workers
        await limited(worker, 60)
        clock.now_s += 60
        asking = asyncio.create_task(worker.enter())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await worker.health.settled()
        await worker.entered()


async def test_an_opening_that_a_worker_did_not_hear_is_made_good_by_the_poll(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 1, clock=clock) as fleet:
        await limited(fleet.workers[0], 60)
        deaf = await fleet.hire(is_deaf=True)
        clock.now_s += 60
        await fleet.workers[0].call(None)
        await deaf.health.poll()
        assert not deaf.health.local.keys.closings


async def test_a_redis_that_was_wiped_opens_nothing_that_a_worker_knows_closed(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, clock=clock) as fleet:
        one, other = fleet.workers
        await limited(one, 600)
        await fleet.heard(one, other)
        await fleet.client.delete(closings_key(key_text(fleet.provider, 0)))
        clock.now_s += 100
        await one.health.poll()
        await fleet.heard(one)
        late = await fleet.hire(is_deaf=True)
        assert await late.enter() == Refusal("rate_limit", 500.0)
        clock.now_s += 500
        ((_, entry),) = await rush(fleet)
        assert entry.ticket.knock.model.is_probe


async def test_another_secret_is_not_held_back_by_what_the_first_one_was_refused(redis_url):
    async with fleet_of(redis_url, 1, key("KEY"), clock=Clock()) as fleet:
        await limited(fleet.workers[0], 600)
        with_a_new_one = await fleet.hire(lambda _: "sk-new")
        await with_a_new_one.entered()


async def test_calls_that_come_back_together_tell_the_fleet_once(redis_url):
    async with fleet_of(redis_url, 1, clock=Clock()) as fleet:
        (worker,) = fleet.workers
        entries = [await worker.entered() for _ in range(50)]
        before = len(worker.marks)
        for entry in entries:
            await worker.leave(entry, FailureKind.RATE_LIMITED, 60)
        await fleet.heard(worker)
        assert len([raw for raw in worker.marks if b'"closing"' in raw]) == 1
        assert len(worker.marks) > before


async def test_a_key_keeps_a_bounded_number_of_closings(redis_url):
    async with fleet_of(redis_url, 1, clock=Clock()) as fleet:
        (worker,) = fleet.workers
        for number in range(600):
            deployment = Deployment(model="maker/m", provider=fleet.provider, upstream=f"m{number}")
            entry = await worker.entered(deployment)
            await worker.gate.leave(entry, ended(FailureKind.RATE_LIMITED, 60), None)
        await worker.health.settled()
        assert await fleet.client.hlen(closings_key(key_text(fleet.provider, 0))) == 512
        assert isinstance(await worker.enter(deployment), Refusal), "this worker knows by itself"


async def test_a_key_that_one_worker_found_bad_is_left_alone_by_all_who_have_it(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, key("KEY"), clock=clock) as fleet:
        one, other = fleet.workers
        await one.call(FailureKind.NO_CREDIT, scope=Scope.ACCOUNT)
        await fleet.heard(one, other)
        assert await other.enter() == Refusal("key_disabled", 60.0)
        with_a_new_one = await fleet.hire(lambda _: "sk-new")
        await with_a_new_one.entered()
        clock.now_s += 60
        await other.call(FailureKind.NO_CREDIT, scope=Scope.ACCOUNT)
        await fleet.heard(one, other)
        assert await one.enter() == Refusal("key_disabled", 120.0)
        clock.now_s += 120
        await one.call(None)
        await fleet.heard(one, other)
        assert not other.health.local.keys.troubles
        await other.call(FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
        assert await other.enter() == Refusal("key_disabled", 60.0)
