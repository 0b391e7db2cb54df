"""The promises of a worker's counters without Redis: its share of every limit, never more, and back by themselves."""

from cli.embedded import Redis
from jobs.settings import KeyLimits
from routing.limits import Admitted, Refusal
from tests.workers.counting import Clock, Cuttable, Ledger, call, counting_in, fresh, rush, until
from workers.counters import FallbackCounters, MemoryCounters


def with_fallback() -> tuple[FallbackCounters, Cuttable, Clock]:
    clock = Clock()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    return FallbackCounters(shared, MemoryCounters(Ledger(), clock), clock), shared, clock


async def test_without_redis_a_worker_keeps_its_share():
    counters, shared, _ = with_fallback()
    counters.live_workers = 4
    shared.is_cut = True
    assert await rush(counters, fresh(KeyLimits(requests_per_minute=400))) == 5
    assert await rush(counters, fresh(KeyLimits(concurrency=40))) == 10
    assert not counters.is_shared


async def test_a_share_begins_with_what_the_ledger_knows():
    clock = Clock()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    counters = FallbackCounters(shared, MemoryCounters(Ledger((500, 0)), clock), clock)
    shared.is_cut = True
    assert await rush(counters, fresh(KeyLimits(requests_per_minute=400))) == 0


async def test_a_share_is_begun_anew_each_time_redis_goes_away():
    clock, ledger = Clock(), Ledger()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    counters = FallbackCounters(shared, MemoryCounters(ledger, clock), clock)
    spots = fresh(KeyLimits(requests_per_minute=400))
    for _ in range(2):
        shared.is_cut = True
        await rush(counters, spots, 1)
        shared.is_cut = False
        clock.now_s += 2
        await rush(counters, spots, 1)
    assert len(ledger.asked) == 2


async def test_while_redis_is_away_one_call_at_a_time_tries_it():
    counters, shared, clock = with_fallback()
    shared.is_cut = True
    spots = fresh(KeyLimits(concurrency=500))
    await rush(counters, spots, 1)
    shared.asked = 0
    await rush(counters, spots)
    assert shared.asked == 0
    clock.now_s += 2
    await rush(counters, spots)
    assert shared.asked == 1


async def test_when_redis_is_back_limits_are_shared_again():
    counters, shared, clock = with_fallback()
    counters.live_workers = 10
    spots = fresh(KeyLimits(requests_per_minute=400))
    shared.is_cut = True
    assert await rush(counters, spots) == 2
    shared.is_cut = False
    clock.now_s += 60
    await rush(counters, spots, 1)
    assert counters.is_shared
    assert await rush(counters, spots) == 19


async def test_slots_given_back_while_redis_was_away_are_free_when_it_returns():
    counters, shared, clock = with_fallback()
    spots, held = fresh(KeyLimits(concurrency=2)), [call(), call()]
    for reservation in held:
        await counters.admit(spots, reservation)
    shared.is_cut = True
    for reservation in held:
        await counters.settle(spots, reservation, 0.0)
    shared.is_cut = False
    clock.now_s += 2
    assert isinstance(await counters.admit(spots, call()), Refusal)

    async def is_free() -> bool:
        return await rush(shared, spots) == 2

    await until(is_free)


async def test_a_slot_of_the_share_is_given_back_to_the_share():
    counters, shared, _ = with_fallback()
    shared.is_cut = True
    spots, held = fresh(KeyLimits(concurrency=1)), call()
    assert isinstance(await counters.admit(spots, held), Admitted)
    assert await rush(counters, spots) == 0
    await counters.settle(spots, held, 0.0)
    assert await rush(counters, spots) == 1


async def test_a_killed_redis_costs_only_the_share_until_it_is_back(yard_folder):
    server, clock = Redis(yard_folder, from_wheel=True), Clock()
    server.start()
    spots = fresh(KeyLimits(requests_per_minute=4_000))
    try:
        async with counting_in(server.url, Ledger()) as shared:
            counters = FallbackCounters(shared, MemoryCounters(Ledger(), clock), clock)
            counters.live_workers = 20
            assert await rush(counters, spots, 300) >= 200
            server.stop()
            assert await rush(counters, spots, 300) == 10
            assert not counters.is_shared
            server.start()
            clock.now_s += 2
            await rush(counters, spots, 1)
            assert counters.is_shared
    finally:
        server.stop()
