"""The promises of the reader for people: it shows what the gates keep, and never raises."""

import asyncio

import redis.asyncio

from jobs.failures import FailureKind, Scope
from jobs.gatekeys import (
    breaker_key,
    key_text,
    limits_key,
    model_name,
    model_text,
    models_key,
    slots_key,
    subject_name,
    subject_of,
    trouble_key,
)
from jobs.health import ClosingView, Health, HealthReader
from jobs.settings import KeyLimits, ProviderKey
from tests.workers.fleet import BAD, Fleet, fleet_of, key, until
from workers.counters import KeyName, Place


async def seen(fleet: Fleet) -> Health:
    reader = HealthReader(fleet.url)
    try:
        return await reader.read(fleet.providers)
    finally:
        await reader.aclose()


async def test_what_nobody_used_is_well(redis_url):
    async with fleet_of(redis_url, 0, key("KEY", requests_per_minute=60, concurrency=4)) as fleet:
        health = await seen(fleet)
    assert health.is_known
    ((breaker,), (view,)) = health.breakers, health.keys
    assert (breaker.name, breaker.kind, breaker.state, breaker.calls) == (fleet.provider, "provider", "closed", 0)
    assert (view.requests_used_share, view.tokens_used_share, view.in_flight, view.trouble) == (0.0, None, 0, None)


async def test_a_breaker_shows_its_recent_calls_and_when_it_is_open_until_when(redis_url):
    async with fleet_of(redis_url, 1) as fleet:
        (worker,) = fleet.workers
        for failure in (None, None, BAD):
            await worker.call(failure)
        before = {view.kind: view for view in (await seen(fleet)).breakers}
        for _ in range(4):
            await worker.call(BAD)
        after = {view.kind: view for view in (await seen(fleet)).breakers}
    assert set(before) == {"provider", "deployment"}
    assert (before["provider"].state, before["provider"].calls, before["provider"].failures) == ("closed", 3, 1)
    view = after["deployment"]
    assert (view.name, view.state, view.trips, view.calls, view.failures) == (fleet.deployment.id, "open", 1, 7, 5)
    assert 0 < view.opens_in_s <= 15
    assert view.tripped_s is not None
    assert view.tripped_s < 10


async def test_a_key_shows_its_meters_its_closing_and_its_trouble(redis_url):
    keys = (key("KEY", requests_per_minute=1_200, concurrency=4), key("OTHER"))
    async with fleet_of(redis_url, 1, *keys) as fleet:
        (worker,) = fleet.workers
        for _ in range(2):
            await worker.entered()
        used = (await seen(fleet)).keys[0]
        await worker.leave(await worker.entered(), FailureKind.RATE_LIMITED, 20, Scope.ACCOUNT)
        await worker.call(FailureKind.NO_CREDIT, scope=Scope.ACCOUNT)
        first, second = (await seen(fleet)).keys
    assert used.in_flight == 2
    assert used.requests_used_share is not None
    assert 0 < used.requests_used_share < 1
    assert 10 < first.closing.closed_s <= 20
    assert (second.key_index, second.trouble) == (1, FailureKind.NO_CREDIT)
    assert 50 < second.disabled_s <= 60


async def test_a_model_shows_its_own_closing_and_its_own_meters(redis_url):
    limits = {"small": KeyLimits(requests_per_minute=1_200, concurrency=4), "*": KeyLimits(concurrency=9)}
    async with fleet_of(redis_url, 1, ProviderKey(env="KEY", model_limits=limits)) as fleet:
        (worker,) = fleet.workers
        await worker.entered()
        await worker.leave(await worker.entered(fleet.other), FailureKind.RATE_LIMITED, 7_200)
        (key_view,) = (await seen(fleet)).keys
        large, small = key_view.models
    assert key_view.closing == ClosingView()
    assert (small.model, small.in_flight, small.closing.why) == ("small", 1, None)
    assert small.requests_used_share is not None
    assert 0 < small.requests_used_share < 1
    assert (large.model, large.in_flight, large.limits) == ("large", 0, KeyLimits(concurrency=9))
    assert (large.closing.why, large.requests_used_share) == (FailureKind.RATE_LIMITED, None)
    assert 7_100 < large.closing.closed_s <= 7_200
    assert 800 < large.closing.tried_s <= 900
    assert large.closing.since_s is not None
    assert large.closing.since_s < 10


async def test_a_model_that_opened_again_is_not_shown(redis_url):
    async with fleet_of(redis_url, 1) as fleet:
        (worker,) = fleet.workers
        await worker.leave(await worker.entered(), FailureKind.RATE_LIMITED, 0.05)
        assert [view.model for view in (await seen(fleet)).keys[0].models] == ["small"]
        place = Place(KeyName(fleet.provider, 0), "small")
        await until(lambda: worker.health.keys.held_back(place) is None)
        await worker.call(None)
        assert (await seen(fleet)).keys[0].models == ()


async def test_without_redis_it_says_what_the_settings_say_and_that_it_knows_no_more(tmp_path, redis_url):
    async with fleet_of(redis_url, 0) as fleet:
        reader = HealthReader(f"unix://{tmp_path}/none.sock")
        health = await reader.read(fleet.providers)
        await reader.aclose()
    assert not health.is_known
    assert [(view.name, view.state) for view in health.breakers] == [(fleet.provider, "unknown")]
    assert [(view.provider, view.in_flight) for view in health.keys] == [(fleet.provider, None)]


async def test_a_redis_that_takes_the_question_and_never_answers_holds_nobody_up(redis_url):
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with fleet_of(redis_url, 0) as fleet:
        server = await asyncio.start_server(silence, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader = HealthReader(f"redis://127.0.0.1:{port}/0")
        async with asyncio.timeout(10):
            assert not (await reader.read(fleet.providers)).is_known
        await reader.aclose()
        server.close()
        await server.wait_closed()


async def test_what_another_version_wrote_is_unknown_and_no_error(redis_url):
    async with fleet_of(redis_url, 0) as fleet, redis.asyncio.Redis.from_url(redis_url) as client:
        name = trouble_key(key_text(fleet.provider, 0))
        await client.hset(name, mapping={"kind": "gone_fishing"})
        assert not (await seen(fleet)).is_known
        await client.delete(name)
        broken = breaker_key(subject_of("provider", fleet.provider))
        await client.hset(broken, mapping={"slots": "later"})
        assert not (await seen(fleet)).is_known
        await client.delete(broken)


def test_whatever_a_provider_is_called_its_names_are_its_own():
    names = ["a/1", "a", "a:1", "{a}", "}", "a}b", "ä b", "a%2F1", "*", "a:slots"]
    assert len({key_text(name, index) for name in names for index in range(12)}) == len(names) * 12
    for name in names:
        assert subject_name(subject_of("deployment", name)) == ("deployment", name)
        texts = key_text(name, 0) + subject_of("provider", name) + model_text(name)
        assert not set("{}") & set(texts), "or it would be a hash tag"
        assert model_name(model_text(name)) == name
    stored = [made("k", name) for name in ("", *names) for made in (limits_key, slots_key)]
    assert len({*stored, models_key("k")}) == len(stored) + 1
    assert len({model_text(name) for name in ("", *names)}) == len(names) + 1
