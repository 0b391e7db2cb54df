"""The promises of the gate before every provider call."""

import asyncio

import pytest

from jobs.failures import FailureKind, Scope
from jobs.gatekeys import subject_of
from jobs.settings import KeyLimits, Provider, ProviderKey
from routing.limits import Refusal, Reservation
from tests.workers.gates import BAD, LLAMA, QWEN, SECRETS, Clock, Counting, Yard, key
from workers.counters import KeyName, Place, Spot
from workers.gate import Entry, Gate


async def test_an_entry_carries_the_key_and_does_not_show_it():
    entry = await Yard(key("FIRST")).enter()
    assert (entry.provider, entry.key_index, entry.secret) == ("acme", 0, "sk-first")
    assert "sk-first" not in repr(entry)


async def test_a_server_without_keys_needs_no_secret():
    assert (await Yard().enter()).secret is None


async def test_a_key_without_limits_asks_no_counter():
    yard = Yard()
    for failure in (None, BAD, FailureKind.BAD_REQUEST, None):
        await yard.call(failure)
    assert yard.counters.asked == 0


async def test_a_full_key_passes_on_to_the_next_one():
    yard = Yard(key("FIRST", concurrency=1), key("SECOND", concurrency=1))
    entries = [await yard.enter(), await yard.enter()]
    assert [entry.secret for entry in entries] == ["sk-first", "sk-second"]
    assert (await yard.refused()).reason == "concurrency"


async def test_the_shortest_wait_of_all_keys_is_told():
    yard = Yard(key("FIRST", requests_per_minute=1), key("SECOND", requests_per_minute=60))
    while isinstance(refusal := await yard.gate.enter(QWEN, 100, is_urgent=True), Entry):
        pass
    assert refusal.reason == "rate_limit"
    assert refusal.delay_s == pytest.approx(60 / 58)


async def test_leaving_gives_the_slot_back():
    yard = Yard(key(concurrency=1))
    await yard.call(None)
    await yard.call(BAD)
    await yard.enter()


async def test_leaving_settles_the_tokens_really_used():
    yard = Yard(key(tokens_per_minute=10_000))
    entry = await yard.enter(tokens=9_000)
    assert (await yard.refused()).reason == "rate_limit"
    await yard.gate.leave(entry, None, 10)
    await yard.enter()


async def test_a_caller_cancelled_at_the_counter_leaves_no_slot_behind():
    yard = Yard(key(concurrency=1))
    yard.counters.is_open.clear()
    waiting = asyncio.create_task(yard.gate.enter(QWEN, 100))
    await yard.counters.has_begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    yard.counters.is_open.set()
    async with asyncio.timeout(10):
        await yard.counters.has_settled.wait()
    await yard.enter()


async def test_each_model_has_limits_of_its_own_under_those_of_the_key():
    limits = {"q*": KeyLimits(concurrency=1), "llama": KeyLimits(concurrency=9)}
    yard = Yard(ProviderKey(limits=KeyLimits(concurrency=3), model_limits=limits))
    first = await yard.enter(QWEN)
    assert (await yard.refused(QWEN)).reason == "concurrency"
    for _ in range(2):
        await yard.enter(LLAMA)
    assert (await yard.refused(LLAMA)).reason == "concurrency", "the key is full"
    await yard.leave(first)
    await yard.enter(LLAMA)


@pytest.mark.parametrize("kind", [FailureKind.BAD_KEY, FailureKind.NO_CREDIT])
async def test_a_key_that_the_provider_refuses_is_left_alone_for_longer_each_time(kind):
    yard, times = Yard(key("FIRST")), []
    for _ in range(6):
        await yard.call(kind, scope=Scope.ACCOUNT)
        refusal = await yard.refused(LLAMA)
        assert refusal.reason == "key_disabled"
        times.append(refusal.delay_s)
        yard.clock.now_s += refusal.delay_s
    assert times == [60, 120, 240, 480, 900, 900]


async def test_calls_on_their_way_when_a_key_was_disabled_do_not_lengthen_it():
    yard = Yard(key("FIRST"))
    entries = [await yard.enter() for _ in range(5)]
    for entry in entries:
        await yard.leave(entry, FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
    assert (await yard.refused()).delay_s == 60


async def test_a_disabled_key_passes_on_to_the_next_one():
    yard = Yard(key("FIRST"), key("SECOND"))
    await yard.call(FailureKind.NO_CREDIT, scope=Scope.ACCOUNT)
    assert (await yard.enter()).secret == "sk-second"
    (trouble,) = yard.health.keys.troubles.values()
    assert (trouble.kind, trouble.until_s) == (FailureKind.NO_CREDIT, yard.clock.now_s + 60)


async def test_a_success_clears_a_key():
    yard = Yard(key("FIRST"))
    await yard.call(FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
    yard.clock.now_s += 60
    await yard.call(None)
    await yard.call(FailureKind.BAD_KEY, scope=Scope.ACCOUNT)
    assert (await yard.refused()).delay_s == 60


async def test_a_key_whose_variable_is_not_set_is_never_used():
    yard = Yard(key("UNSET"), key("SECOND"))
    assert (await yard.enter()).secret == "sk-second"
    assert (await Yard(key("UNSET")).refused()).reason == "key_disabled"


async def test_a_provider_with_no_keys_at_all_is_refused():
    clock = Clock()
    provider = Provider(dialect="openai", base_url="http://acme", keys=())
    gate = Gate(Counting(clock), {"acme": provider}, SECRETS.get, clock, lambda: 0.0)
    verdict = await gate.enter(QWEN, 1)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == "key_disabled"


async def test_a_failing_deployment_is_refused_and_its_neighbour_is_not():
    yard = Yard()
    for failure in (BAD, BAD, BAD, BAD, None, BAD):
        await yard.call(failure, QWEN if failure else LLAMA)
    assert await yard.refused(QWEN) == Refusal("breaker", 15.0)
    assert [subject for subject, known in yard.health.breakers.items() if known.is_tripped] == [
        subject_of("deployment", QWEN.id)
    ]
    await yard.enter(LLAMA)


async def test_a_failing_provider_is_refused_with_all_its_deployments():
    yard = Yard()
    for deployment in (QWEN, LLAMA, QWEN, LLAMA, QWEN):
        await yard.call(BAD, deployment)
    assert (await yard.refused(LLAMA)).reason == "breaker"


async def test_one_probe_goes_first_and_its_success_opens_the_gate():
    yard = Yard()
    for _ in range(5):
        await yard.call(BAD)
    yard.clock.now_s += 15
    probe = await yard.enter()
    assert (await yard.refused()).reason == "breaker"
    await yard.leave(probe)
    await asyncio.gather(*(yard.enter() for _ in range(20)))
    assert not any(known.is_tripped for known in yard.health.breakers.values())


async def test_a_probe_that_found_no_key_does_not_use_up_the_probe():
    yard = Yard(key(concurrency=1))
    for _ in range(5):
        await yard.call(BAD)
    yard.clock.now_s += 15
    spots, other = (Spot(Place(KeyName("acme", 0)), KeyLimits(concurrency=1)),), Reservation("other", 1, 150.0)
    await yard.counters.admit(spots, other)
    assert (await yard.refused()).reason == "concurrency"
    await yard.counters.settle(spots, other, 0.0)
    await yard.enter()
    assert (await yard.refused()).reason == "breaker"


async def test_a_rate_limited_probe_gives_its_place_to_the_next():
    yard = Yard()
    for _ in range(5):
        await yard.call(BAD)
    yard.clock.now_s += 14
    late = await yard.gate.enter(LLAMA, 100)
    assert late == Refusal("breaker", 1.0)
    yard.clock.now_s += 1
    await yard.leave(await yard.enter(LLAMA), FailureKind.RATE_LIMITED, retry_after_s=3)
    assert (await yard.refused(LLAMA)).reason == "rate_limit"
    yard.clock.now_s += 3
    await yard.enter()


async def test_delays_are_spread_by_chance():
    yard = Yard(chance=0.5)
    await yard.limited(20)
    assert (await yard.refused()).delay_s == pytest.approx(22)


def test_a_limit_that_lets_nothing_through_fails_at_start():
    with pytest.raises(ValueError, match="above 0"):
        Yard(key(requests_per_minute=0))
