"""The promises of the counters: Redis and memory say the same, and without Redis nothing is unlimited."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.embedded import Redis
from jobs.gatekeys import key_text, limits_key, slots_key
from jobs.settings import KeyLimits
from routing.limits import Admitted, Refusal, Reservation
from workers.counters import Counters, FallbackCounters, KeyName, MemoryCounters, RedisCounters
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
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, provider: str, key_index: int) -> tuple[int, int] | None:
        self.asked.append((provider, key_index))
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

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        await self._line()
        return await self.inner.admit(key, limits, reservation)

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        await self._line()
        await self.inner.settle(key, limits, reservation, extra_tokens)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        await self._line()
        await self.inner.close_for(key, delay_s)


def fresh_key() -> KeyName:
    return KeyName(f"acme-{uuid.uuid4().hex}", 0)


def call(name: str | None = None, tokens: int = 1, ttl_s: float = 150.0, *, urgent: bool = False) -> Reservation:
    return Reservation(name or uuid.uuid4().hex, tokens, ttl_s, urgent)


@contextlib.asynccontextmanager
async def counting_in(url: str, seed: Ledger, clock: Callable[[], float] | None = None) -> AsyncIterator[RedisCounters]:
    scripts = Scripts(url, clock)
    try:
        yield RedisCounters(scripts, seed)
    finally:
        await scripts.aclose()


async def rush(counters: Counters, key: KeyName, limits: KeyLimits, calls: int = 50) -> int:
    """How many of so many calls made together are let in."""
    verdicts = await asyncio.gather(*(counters.admit(key, limits, call(urgent=True)) for _ in range(calls)))
    return sum(isinstance(verdict, Admitted) for verdict in verdicts)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, at most ten seconds."""
    for _ in range(1_000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the condition never came true")


# The contract: both implementations, the same generated histories.

LIMITS = st.builds(
    KeyLimits,
    requests_per_minute=st.sampled_from([None, None, 1, 6, 90, 2_000]),
    tokens_per_minute=st.sampled_from([None, None, 700, 90_000]),
    concurrency=st.sampled_from([None, 1, 2, 4]),
)
ADMIT = st.tuples(st.just("admit"), st.integers(0, 3_000), st.sampled_from([0.5, 1.0, 30.0]), st.booleans())
SETTLE = st.tuples(st.just("settle"), st.integers(0, 10), st.floats(-3_000, 3_000))
CLOSE = st.tuples(st.just("close"), st.sampled_from([0.0, 0.7, 1.0, 30.0]))
GAP = st.sampled_from([0.0, 0.0, 0.0, 0.000_3, 0.5, 1.0, 7.0, 61.0, -2.0])
HISTORY = st.lists(st.tuples(GAP, ADMIT | ADMIT | ADMIT | ADMIT | SETTLE | SETTLE | CLOSE), min_size=10, max_size=80)
RECENT = st.sampled_from([(0, 0), (0, 0), (3, 200), (500, 50_000), None])


async def replay(counters: Counters, clock: Clock, limits: KeyLimits, history: list[Any]) -> list[Any]:
    key, told, number = fresh_key(), [], 0
    clock.now_s = START_S
    for gap_s, (verb, *details) in history:
        clock.now_s += gap_s
        if verb == "admit":
            tokens, ttl_s, urgent = details
            verdict = await counters.admit(key, limits, call(f"call-{number}", tokens, ttl_s, urgent=urgent))
            told.append((verdict.reason, verdict.delay_s) if isinstance(verdict, Refusal) else ("admitted", 0.0))
            number += 1
        elif verb == "settle":
            await counters.settle(key, limits, call(f"call-{details[0]}"), details[1])
        else:
            await counters.close_for(key, details[0])
    return told


@given(limits=LIMITS, history=HISTORY, recent=RECENT)
@example(
    limits=KeyLimits(concurrency=1),
    history=[(0.0, ("admit", 1, 0.5, False)), (0.5, ("admit", 1, 0.5, False)), (0.25, ("admit", 1, 0.5, False))],
    recent=(0, 0),
)
@example(  # a slot that ran out is dropped by a settlement, too: a clock set back must not bring it to life again
    limits=KeyLimits(concurrency=1),
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


async def test_the_whole_fleet_shares_one_burst(redis_url):
    key, limits = fresh_key(), KeyLimits(requests_per_minute=200)
    async with counting_in(redis_url, Ledger()) as one, counting_in(redis_url, Ledger()) as other:
        let_in = await asyncio.gather(rush(one, key, limits), rush(other, key, limits))
    assert 10 <= sum(let_in) <= 11


async def test_a_slot_comes_back_by_the_clock_of_the_server(redis_url):
    key, limits = fresh_key(), KeyLimits(concurrency=1)
    async with counting_in(redis_url, Ledger()) as counters:
        assert isinstance(await counters.admit(key, limits, call(ttl_s=0.2)), Admitted)
        assert isinstance(await counters.admit(key, limits, call()), Refusal)

        async def is_let_in() -> bool:
            return isinstance(await counters.admit(key, limits, call()), Admitted)

        await until(is_let_in)


async def test_calls_of_one_turn_travel_together(redis_url):
    key, limits = fresh_key(), KeyLimits(concurrency=500)
    client = redis.asyncio.Redis.from_url(redis_url)
    async with counting_in(redis_url, Ledger()) as counters, client:
        await rush(counters, key, limits, 1)
        before = (await client.info("stats"))["total_reads_processed"]
        assert await rush(counters, key, limits, 200) == 200
        after = (await client.info("stats"))["total_reads_processed"]
    assert after - before < 30


async def test_a_redis_that_lost_its_scripts_gets_them_again(redis_url):
    key, limits = fresh_key(), KeyLimits(concurrency=3)
    async with counting_in(redis_url, Ledger()) as counters, redis.asyncio.Redis.from_url(redis_url) as client:
        for _ in range(2):
            await client.script_flush()
            assert await rush(counters, fresh_key(), limits) == 3
        held = call()
        assert isinstance(await counters.admit(key, limits, held), Admitted)
        await client.script_flush()
        await counters.settle(key, limits, held, 0.0)
        assert await rush(counters, key, limits) == 3


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_lost_count_is_asked_of_the_ledger_once_however_many_wait(redis_url, where):
    key, limits, ledger = fresh_key(), KeyLimits(requests_per_minute=200), Ledger((7, 0))
    async with counting_in(redis_url, ledger, Clock()) as shared:
        counters: Counters = shared if where == "redis" else MemoryCounters(ledger, Clock())
        assert await rush(counters, key, limits) == 3
        assert await rush(counters, key, limits) == 0
    assert ledger.asked == [tuple(key)]


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_ledger_that_cannot_tell_costs_a_burst(redis_url, where):
    key, limits, ledger = fresh_key(), KeyLimits(requests_per_minute=200), Ledger(None)
    async with counting_in(redis_url, ledger, Clock()) as shared:
        counters: Counters = shared if where == "redis" else MemoryCounters(ledger, Clock())
        assert await rush(counters, key, limits) == 0


async def test_calls_in_flight_are_counted_again_when_redis_lost_them(redis_url):
    key, limits = fresh_key(), KeyLimits(concurrency=4)
    client = redis.asyncio.Redis.from_url(redis_url)
    async with counting_in(redis_url, Ledger()) as one, counting_in(redis_url, Ledger()) as other, client:
        held = [(counters, call(f"held-{number}")) for number, counters in enumerate((one, one, other, other))]
        for counters, reservation in held:
            assert isinstance(await counters.admit(key, limits, reservation), Admitted)
        text = key_text(*key)
        await client.delete(limits_key(text), slots_key(text))
        assert await rush(one, key, limits, 1) + await rush(other, key, limits, 1) <= 2
        assert await rush(one, key, limits) + await rush(other, key, limits) == 0
        assert {b"held-0", b"held-1", b"held-2", b"held-3"} <= set(await client.zrange(slots_key(text), 0, -1))
        for counters, reservation in held[:3]:
            await counters.settle(key, limits, reservation, 0.0)
        assert await rush(other, key, limits) == 1


async def test_cancelled_callers_mix_up_nobody_elses_reply(redis_url):
    open_key, shut_key, limits = fresh_key(), fresh_key(), KeyLimits(requests_per_minute=100_000)
    async with counting_in(redis_url, Ledger()) as counters:
        await counters.close_for(shut_key, 60)
        asked = [
            asyncio.create_task(counters.admit(shut_key if number % 2 else open_key, limits, call()))
            for number in range(200)
        ]
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
            await counters.admit(fresh_key(), KeyLimits(concurrency=1), call())


# Without Redis: the worker's share.


def with_fallback() -> tuple[FallbackCounters, Cuttable, Clock]:
    clock = Clock()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    return FallbackCounters(shared, MemoryCounters(Ledger(), clock), clock), shared, clock


async def test_without_redis_a_worker_keeps_its_share():
    counters, shared, _ = with_fallback()
    counters.live_workers = 4
    shared.is_cut = True
    assert await rush(counters, fresh_key(), KeyLimits(requests_per_minute=400)) == 5
    assert await rush(counters, fresh_key(), KeyLimits(concurrency=40)) == 10
    assert not counters.is_shared


async def test_a_share_begins_with_what_the_ledger_knows():
    clock = Clock()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    counters = FallbackCounters(shared, MemoryCounters(Ledger((500, 0)), clock), clock)
    shared.is_cut = True
    assert await rush(counters, fresh_key(), KeyLimits(requests_per_minute=400)) == 0


async def test_a_share_is_begun_anew_each_time_redis_goes_away():
    clock, ledger = Clock(), Ledger()
    shared = Cuttable(MemoryCounters(Ledger(), clock))
    counters = FallbackCounters(shared, MemoryCounters(ledger, clock), clock)
    key, limits = fresh_key(), KeyLimits(requests_per_minute=400)
    for _ in range(2):
        shared.is_cut = True
        await rush(counters, key, limits, 1)
        shared.is_cut = False
        clock.now_s += 2
        await rush(counters, key, limits, 1)
    assert len(ledger.asked) == 2


async def test_while_redis_is_away_one_call_at_a_time_tries_it():
    counters, shared, clock = with_fallback()
    shared.is_cut = True
    key, limits = fresh_key(), KeyLimits(concurrency=500)
    await rush(counters, key, limits, 1)
    shared.asked = 0
    await rush(counters, key, limits)
    assert shared.asked == 0
    clock.now_s += 2
    await rush(counters, key, limits)
    assert shared.asked == 1


async def test_when_redis_is_back_limits_are_shared_again():
    counters, shared, clock = with_fallback()
    counters.live_workers = 10
    key, limits = fresh_key(), KeyLimits(requests_per_minute=400)
    shared.is_cut = True
    assert await rush(counters, key, limits) == 2
    shared.is_cut = False
    clock.now_s += 60
    await rush(counters, key, limits, 1)
    assert counters.is_shared
    assert await rush(counters, key, limits) == 19


async def test_slots_given_back_while_redis_was_away_are_free_when_it_returns():
    counters, shared, clock = with_fallback()
    key, limits, held = fresh_key(), KeyLimits(concurrency=2), [call(), call()]
    for reservation in held:
        await counters.admit(key, limits, reservation)
    shared.is_cut = True
    for reservation in held:
        await counters.settle(key, limits, reservation, 0.0)
    shared.is_cut = False
    clock.now_s += 2
    assert isinstance(await counters.admit(key, limits, call()), Refusal)

    async def is_free() -> bool:
        return await rush(shared, key, limits) == 2

    await until(is_free)


async def test_a_slot_of_the_share_is_given_back_to_the_share():
    counters, shared, _ = with_fallback()
    shared.is_cut = True
    key, limits, held = fresh_key(), KeyLimits(concurrency=1), call()
    assert isinstance(await counters.admit(key, limits, held), Admitted)
    assert await rush(counters, key, limits) == 0
    await counters.settle(key, limits, held, 0.0)
    assert await rush(counters, key, limits) == 1


async def test_a_closing_outlives_the_loss_of_redis():
    counters, shared, _ = with_fallback()
    key = fresh_key()
    await counters.close_for(key, 20)
    shared.is_cut = True
    assert await rush(counters, key, KeyLimits(concurrency=5)) == 0


async def test_a_killed_redis_costs_only_the_share_until_it_is_back(yard_folder):
    server, clock = Redis(yard_folder, from_wheel=True), Clock()
    server.start()
    key, limits = fresh_key(), KeyLimits(requests_per_minute=4_000)
    try:
        async with counting_in(server.url, Ledger()) as shared:
            counters = FallbackCounters(shared, MemoryCounters(Ledger(), clock), clock)
            counters.live_workers = 20
            assert await rush(counters, key, limits, 300) >= 200
            server.stop()
            assert await rush(counters, key, limits, 300) == 10
            assert not counters.is_shared
            server.start()
            clock.now_s += 2
            await rush(counters, key, limits, 1)
            assert counters.is_shared
    finally:
        server.stop()
