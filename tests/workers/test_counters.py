"""The promises of the counters: Redis and memory say the same, in a call's windows all or none."""

import asyncio
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.gatekeys import key_text, limits_key, slots_key
from jobs.settings import KeyLimits
from routing.limits import Admitted, Refusal
from tests.workers.counting import START_S, Clock, Ledger, call, counting_in, fresh, rush, until, with_model
from workers.counters import (
    Counters,
    MemoryCounters,
)
from workers.scripts import RedisAway

# The contract: both implementations, the same generated histories.

LIMITS = st.builds(
    KeyLimits,
    requests_per_minute=st.sampled_from([None, None, 1, 6, 90, 2_000]),
    tokens_per_minute=st.sampled_from([None, None, 700, 90_000]),
    concurrency=st.sampled_from([None, 1, 2, 4]),
)
ADMIT = st.tuples(st.just("admit"), st.integers(0, 3_000), st.sampled_from([0.5, 1.0, 30.0]), st.booleans())
SETTLE = st.tuples(st.just("settle"), st.integers(0, 10), st.floats(-3_000, 3_000))
GAP = st.sampled_from([0.0, 0.0, 0.0, 0.000_3, 0.5, 1.0, 7.0, 61.0, -2.0])
HISTORY = st.lists(st.tuples(GAP, ADMIT | ADMIT | SETTLE), min_size=10, max_size=80)
RECENT = st.sampled_from([(0, 0), (0, 0), (3, 200), (500, 50_000), None])


async def replay(counters: Counters, clock: Clock, limits: list[KeyLimits], history: list[Any]) -> list[Any]:
    """What a history is told. Each call goes to one of two models, whose limits come after the key's."""
    whole, told, number = fresh(limits[0]), [], 0
    models = [
        with_model(whole, name, each) if each != KeyLimits() else whole
        for name, each in zip("ab", limits[1:], strict=True)
    ]
    clock.now_s = START_S
    for gap_s, (verb, *details) in history:
        clock.now_s += gap_s
        if verb == "admit":
            tokens, ttl_s, urgent = details
            spots = models[number % 2]
            verdict = await counters.admit(spots, call(f"call-{number}", tokens, ttl_s, urgent=urgent))
            told.append((verdict.reason, verdict.delay_s) if isinstance(verdict, Refusal) else ("admitted", 0.0))
            number += 1
        else:
            await counters.settle(models[details[0] % 2], call(f"call-{details[0]}"), details[1])
    return told


@given(limits=st.lists(LIMITS, min_size=3, max_size=3), history=HISTORY, recent=RECENT)
@example(
    limits=[KeyLimits(concurrency=1), KeyLimits(), KeyLimits()],
    history=[(0.0, ("admit", 1, 0.5, False)), (0.5, ("admit", 1, 0.5, False)), (0.25, ("admit", 1, 0.5, False))],
    recent=(0, 0),
)
@example(  # a slot that ran out is dropped by a settlement, too: a clock set back must not bring it to life again
    limits=[KeyLimits(concurrency=1), KeyLimits(), KeyLimits()],
    history=[
        (0.0, ("admit", 0, 0.5, False)),
        (0.5, ("settle", 9, 0.0)),
        (-2.0, ("admit", 0, 0.5, False)),
    ],
    recent=(0, 0),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_redis_and_memory_tell_every_history_alike(redis_url, limits, history, recent):
    clock = Clock()

    async def both() -> tuple[list[Any], list[Any]]:
        async with counting_in(redis_url, Ledger(recent), clock) as shared:
            in_redis = await replay(shared, clock, limits, history)
        return in_redis, await replay(MemoryCounters(Ledger(recent), clock), clock, limits, history)

    in_redis, in_memory = asyncio.run(both())
    assert in_redis == in_memory


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_call_that_the_model_refuses_takes_nothing_of_the_key(redis_url, where):
    whole = fresh(KeyLimits(concurrency=3))
    small = with_model(whole, "maker/small: {x}", KeyLimits(concurrency=1))
    large = with_model(whole, "large", KeyLimits(concurrency=5))
    async with counting_in(redis_url, Ledger(), Clock()) as shared:
        counters: Counters = shared if where == "redis" else MemoryCounters(Ledger(), Clock())
        held = call()
        assert isinstance(await counters.admit(small, held), Admitted)
        assert await rush(counters, small) == 0
        assert await rush(counters, large) == 2, "what is left of the key"
        await counters.settle(small, held, 0.0)
        assert await rush(counters, small) == 1


async def test_a_model_that_lost_its_count_is_seeded_and_the_key_goes_on_counting(redis_url):
    whole, ledger = fresh(KeyLimits(requests_per_minute=200)), Ledger()
    spots = with_model(whole, "small", KeyLimits(requests_per_minute=400))
    client = redis.asyncio.Redis.from_url(redis_url)
    async with counting_in(redis_url, ledger, Clock()) as counters, client:
        assert await rush(counters, spots, 8) == 8
        await client.delete(limits_key(key_text(*spots[0].place.key), "small"))
        assert await rush(counters, spots) == 2
    assert set(ledger.asked) == {spot.place for spot in spots}


async def test_the_whole_fleet_shares_one_burst(redis_url):
    spots = fresh(KeyLimits(requests_per_minute=200))
    async with counting_in(redis_url, Ledger()) as one, counting_in(redis_url, Ledger()) as other:
        let_in = await asyncio.gather(rush(one, spots), rush(other, spots))
    assert 10 <= sum(let_in) <= 11


async def test_a_slot_comes_back_by_the_clock_of_the_server(redis_url):
    spots = fresh(KeyLimits(concurrency=1))
    async with counting_in(redis_url, Ledger()) as counters:
        assert isinstance(await counters.admit(spots, call(ttl_s=0.2)), Admitted)
        assert isinstance(await counters.admit(spots, call()), Refusal)

        async def is_let_in() -> bool:
            return isinstance(await counters.admit(spots, call()), Admitted)

        await until(is_let_in)


async def test_calls_of_one_turn_travel_together(redis_url):
    spots = fresh(KeyLimits(concurrency=500))
    client = redis.asyncio.Redis.from_url(redis_url)
    async with counting_in(redis_url, Ledger()) as counters, client:
        await rush(counters, spots, 1)
        before = (await client.info("stats"))["total_reads_processed"]
        assert await rush(counters, spots, 200) == 200
        after = (await client.info("stats"))["total_reads_processed"]
    assert after - before < 30


async def test_a_redis_that_lost_its_scripts_gets_them_again(redis_url):
    spots = fresh(KeyLimits(concurrency=3))
    async with counting_in(redis_url, Ledger()) as counters, redis.asyncio.Redis.from_url(redis_url) as client:
        for _ in range(2):
            await client.script_flush()
            assert await rush(counters, fresh(spots[0].limits)) == 3
        held = call()
        assert isinstance(await counters.admit(spots, held), Admitted)
        await client.script_flush()
        await counters.settle(spots, held, 0.0)
        assert await rush(counters, spots) == 3


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_lost_count_is_asked_of_the_ledger_once_however_many_wait(redis_url, where):
    spots, ledger = fresh(KeyLimits(requests_per_minute=200)), Ledger((7, 0))
    async with counting_in(redis_url, ledger, Clock()) as shared:
        counters: Counters = shared if where == "redis" else MemoryCounters(ledger, Clock())
        assert await rush(counters, spots) == 3
        assert await rush(counters, spots) == 0
    assert ledger.asked == [spots[0].place]


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_ledger_that_cannot_tell_costs_a_burst(redis_url, where):
    spots, ledger = fresh(KeyLimits(requests_per_minute=200)), Ledger(None)
    async with counting_in(redis_url, ledger, Clock()) as shared:
        counters: Counters = shared if where == "redis" else MemoryCounters(ledger, Clock())
        assert await rush(counters, spots) == 0


async def test_calls_in_flight_are_counted_again_when_redis_lost_them(redis_url):
    spots = fresh(KeyLimits(concurrency=4))
    client = redis.asyncio.Redis.from_url(redis_url)
    async with counting_in(redis_url, Ledger()) as one, counting_in(redis_url, Ledger()) as other, client:
        held = [(counters, call(f"held-{number}")) for number, counters in enumerate((one, one, other, other))]
        for counters, reservation in held:
            assert isinstance(await counters.admit(spots, reservation), Admitted)
        text = key_text(*spots[0].place.key)
        await client.delete(limits_key(text), slots_key(text))
        assert await rush(one, spots, 1) + await rush(other, spots, 1) <= 2
        assert await rush(one, spots) + await rush(other, spots) == 0
        assert {b"held-0", b"held-1", b"held-2", b"held-3"} <= set(await client.zrange(slots_key(text), 0, -1))
        for counters, reservation in held[:3]:
            await counters.settle(spots, reservation, 0.0)
        assert await rush(other, spots) == 1


async def test_cancelled_callers_mix_up_nobody_elses_reply(redis_url):
    free, full = fresh(KeyLimits(requests_per_minute=100_000)), fresh(KeyLimits(concurrency=1))
    async with counting_in(redis_url, Ledger()) as counters:
        await counters.admit(full, call())
        asked = [asyncio.create_task(counters.admit(full if number % 2 else free, call())) for number in range(200)]
        await asyncio.sleep(0)
        for task in asked[::3]:
            task.cancel()
        verdicts = await asyncio.gather(*asked, return_exceptions=True)
    for number, verdict in enumerate(verdicts):
        wanted = asyncio.CancelledError if number % 3 == 0 else Refusal if number % 2 else Admitted
        assert isinstance(verdict, wanted)


async def test_no_redis_is_an_error_of_its_own_kind(tmp_path):
    async with counting_in(f"unix://{tmp_path}/none.sock", Ledger()) as counters:
        with pytest.raises(RedisAway):
            await counters.admit(fresh(KeyLimits(concurrency=1)), call())
