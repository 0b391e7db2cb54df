"""The promises of breakers and keys that a fleet shares: one opinion, one probe, and no Redis for a healthy call."""

import asyncio

import pytest

from cli.embedded import Redis
from jobs.failures import FailureKind, Scope
from jobs.gatekeys import (
    breaker_key,
    closings_key,
    key_text,
    limits_key,
    model_text,
    models_key,
    subject_of,
    trouble_key,
)
from jobs.settings import KeyLimits, ProviderKey
from routing.limits import Refusal
from tests.workers.fleet import BAD, Clock, Fleet, fleet_of, key, rush, until
from workers.counters import KeyName, Place


async def opened(fleet: Fleet) -> None:
    """Five failures in a row, from all workers in turn; all have heard."""
    for number in range(5):
        await fleet.workers[number % len(fleet.workers)].call(BAD)
    await fleet.heard(*fleet.workers)


async def test_a_healthy_call_asks_redis_nothing_and_many_leave_as_one_number(redis_url):
    async with fleet_of(redis_url, 1) as fleet:
        (worker,), ran = fleet.workers, list[str]()
        run = worker.scripts.run

        async def watched(script, keys, *arguments):
            ran.append(arguments[0])
            return await run(script, keys, *arguments)

        worker.scripts.run = watched  # type: ignore[method-assign]  # to count what leaves
        for _ in range(500):
            await worker.gate.leave(await worker.entered(), None, 10)
        assert ran == []
        await worker.health.settled()
        assert ran == ["count", "count"], "the first call, to both breakers"
        worker.health.report()
        await worker.health.settled()
        assert ran == ["count"] * 4, "and all the others"
        stored = await fleet.client.hget(breaker_key(subject_of("provider", fleet.provider)), "slots")
        assert isinstance(stored, bytes)
        assert sum(int(part.split(b":")[1]) for part in stored.split(b";") if part) == 500


async def test_failures_of_the_whole_fleet_open_for_the_whole_fleet(redis_url):
    async with fleet_of(redis_url, 5, clock=Clock()) as fleet:
        await opened(fleet)
        for worker in fleet.workers:
            assert await worker.enter() == Refusal("breaker", 15.0)


async def test_a_failing_deployment_leaves_its_neighbour_alone(redis_url):
    async with fleet_of(redis_url, 2) as fleet:
        for worker in fleet.workers * 3:
            await worker.call(None, fleet.other)
            worker.health.report()
            await worker.health.settled()
            if not await worker.is_open():
                await worker.call(BAD)
        await fleet.heard(*fleet.workers)
        assert all([await worker.is_open() for worker in fleet.workers])
        assert not any([await worker.is_open(fleet.other) for worker in fleet.workers])


async def test_a_failure_takes_the_successes_before_it_along(redis_url):
    async with fleet_of(redis_url, 2) as fleet:
        one, other = fleet.workers
        await other.call(None)
        for _ in range(4):
            await one.call(BAD)
        await other.call(None)  # within half a second of the other: it waits for company, or for a failure
        await other.call(BAD)
        assert not await one.is_open()


async def test_of_all_who_come_when_the_time_is_up_one_is_the_probe(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 4, clock=clock) as fleet:
        await opened(fleet)
        clock.now_s += 15
        ((worker, entry),) = await rush(fleet)
        clock.now_s += 3
        assert await rush(fleet) == []
        await worker.leave(entry)
        await fleet.heard(*fleet.workers)
        assert len(await rush(fleet)) == 32


async def test_a_failed_probe_opens_it_for_longer_everywhere(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 3, clock=clock) as fleet:
        await opened(fleet)
        clock.now_s += 15
        ((worker, entry),) = await rush(fleet)
        await worker.leave(entry, BAD)
        await fleet.heard(*fleet.workers)
        assert [await worker.enter() for worker in fleet.workers] == [Refusal("breaker", 30.0)] * 3


async def test_a_probe_without_evidence_gives_its_place_to_another_worker_three_times(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, clock=clock) as fleet:
        await opened(fleet)
        clock.now_s += 15
        for number in range(3):
            worker = fleet.workers[number % 2]
            await worker.leave(await worker.entered(), FailureKind.CANCELLED)
        assert await fleet.workers[1].enter() == Refusal("breaker", 15.0)
        await fleet.heard(*fleet.workers)
        assert await fleet.workers[0].enter() == Refusal("breaker", 15.0)


async def test_a_probe_of_a_worker_that_died_is_replaced_when_its_lease_ends(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, clock=clock) as fleet:
        await opened(fleet)
        clock.now_s += 15
        await fleet.workers[0].entered()
        clock.now_s += 59
        assert await fleet.workers[1].is_open()
        clock.now_s += 3
        await fleet.workers[1].entered()


async def test_a_caller_cancelled_while_it_asked_leaves_no_probe_behind(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 1, clock=clock) as fleet:
        await opened(fleet)
        clock.now_s += 15
        (worker,) = fleet.workers
        asking = asyncio.create_task(worker.enter())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await worker.health.settled()
        await worker.entered()


async def test_a_probe_that_the_other_breaker_holds_back_is_given_back(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 2, clock=clock) as fleet:
        one, other = fleet.workers
        await opened(fleet)  # both its breakers
        clock.now_s += 15
        entry = await one.entered()
        await one.leave(entry, BAD)  # 30 s, both
        clock.now_s += 30
        await other.leave(await other.entered(fleet.other))  # the provider is well again, the deployment unknown
        await fleet.heard(one, other)
        probe = await one.entered()
        assert probe.passes.deployment.is_probe
        for _ in range(5):
            assert await other.is_open()
        await one.leave(probe)
        await fleet.heard(one, other)
        await other.entered()


async def test_a_worker_that_begins_knows_what_is_open(redis_url):
    async with fleet_of(redis_url, 1) as fleet:
        await opened(fleet)
        assert await (await fleet.hire(is_deaf=True)).is_open()


async def test_a_message_that_was_lost_is_made_good_by_the_poll(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 1, clock=clock) as fleet:
        deaf = await fleet.hire(is_deaf=True)
        for _ in range(5):
            await fleet.workers[0].call(BAD)
        assert not await deaf.is_open()
        await deaf.health.poll()
        assert await deaf.is_open()
        clock.now_s += 15
        await fleet.workers[0].call(None)
        clock.now_s += 3
        await deaf.health.poll()
        assert subject_of("provider", fleet.provider) not in deaf.health.local.breakers


async def test_an_old_poll_does_not_undo_newer_news(redis_url):
    clock = Clock()
    async with fleet_of(redis_url, 1, clock=clock) as fleet:
        (worker,) = fleet.workers
        read = worker.scripts.read

        async def slow(*commands):
            found = await read(*commands)
            clock.now_s += 1
            await opened(fleet)
            return found

        worker.scripts.read = slow  # type: ignore[method-assign]  # news come while the answer is on its way
        await worker.health.poll()
        assert await worker.is_open()


async def test_everything_it_keeps_expires_by_itself(redis_url):
    limits = {"*": KeyLimits(concurrency=9)}
    async with fleet_of(redis_url, 1, ProviderKey(env="KEY", model_limits=limits)) as fleet:
        (worker,) = fleet.workers
        await worker.leave(await worker.entered(), FailureKind.RATE_LIMITED, 0.01)
        place = Place(KeyName(fleet.provider, 0), fleet.deployment.upstream)
        await until(lambda: worker.health.keys.held_back(place) is None)
        await worker.call(FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
        await fleet.heard(worker)  # or its own news would refuse the key once more
        worker.health.local.keys.troubles.clear()
        await opened(fleet)
        text = key_text(fleet.provider, 0)
        names = [breaker_key(subject_of("provider", fleet.provider)), trouble_key(text), closings_key(text)]
        names += [
            limits_key(text, place.model),
            models_key(text),
            "tokenyard:{breakers}",
            "tokenyard:{breakers}:tripped",
        ]
        lives = [await fleet.client.ttl(name) for name in names]
        assert all(0 < life_s <= 4_500 for life_s in lives), lives
        assert await fleet.client.hkeys(closings_key(text)) == [model_text(place.model).encode()]


async def test_without_redis_each_worker_goes_by_itself_and_the_fleet_agrees_when_it_is_back(yard_folder):
    server, clock = Redis(yard_folder, from_wheel=True), Clock()
    server.start()
    try:
        async with fleet_of(server.url, 2, key("KEY"), clock=clock) as fleet:
            one, other = fleet.workers
            held = await other.entered(fleet.other)
            server.stop()
            for _ in range(5):
                await one.call(BAD)
            assert await one.is_open()
            assert not await other.is_open()
            await other.call(FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
            await other.leave(held, FailureKind.RATE_LIMITED, 600)
            server.start()
            for worker in fleet.workers:
                await worker.health.poll()
                await worker.health.settled()
            assert one.health.is_shared
            for worker in fleet.workers:
                await worker.health.poll()
            assert await other.enter() == Refusal("breaker", 15.0)
            clock.now_s += 15
            assert await one.enter() == Refusal("key_disabled", 45.0)
            assert Place(KeyName(fleet.provider, 0), fleet.other.upstream) in one.health.local.keys.closings
    finally:
        server.stop()


async def test_a_probe_that_goes_out_while_redis_is_away_is_judged_here(yard_folder):
    server, clock = Redis(yard_folder, from_wheel=True), Clock()
    server.start()
    try:
        async with fleet_of(server.url, 1, clock=clock) as fleet:
            await opened(fleet)
            server.stop()
            clock.now_s += 15
            (worker,) = fleet.workers
            entry = await worker.entered()
            assert await worker.is_open()
            await worker.leave(entry)
            await worker.entered()
            await worker.entered()
    finally:
        server.stop()
