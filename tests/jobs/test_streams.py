"""Token streams over a real Redis: each piece once and in order, whoever comes late, reads slowly or loses Redis."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from jobs import streams
from jobs.streams import BASE, Follower, Line, RedisAway, TokenHub, TokenStreams, Written, name_of
from jobs.tokens import Entry, Place
from tests.jobs.test_tokens import entry

BOUND_S = 10.0


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[TokenStreams]:
    opened = TokenStreams(redis_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator["redis.Redis"]:
    async with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def hub(redis_url: str) -> AsyncIterator[TokenHub]:
    opened = TokenHub(redis_url)
    hearing = asyncio.create_task(opened.hear())
    yield opened
    hearing.cancel()
    await asyncio.wait([hearing])
    await opened.aclose()


@pytest.fixture
def job() -> uuid.UUID:
    return uuid.uuid4()


async def write(store: TokenStreams, job: uuid.UUID, *entries: Entry) -> list[Written]:
    return [(await store.append([Line(job, each, is_first=each.first == 1)]))[0] for each in entries]


async def read(follower: Follower, until: Place) -> list[bytes]:
    """What a follower gets up to a place."""
    got: list[bytes] = []
    async with asyncio.timeout(BOUND_S):
        while follower.place < until:
            follower.wake.clear()
            found = await follower.read()
            got += [chunk for each in found for chunk in each.chunks]
            if not found:
                await follower.wake.wait()
    return got


def pieces(turn: int, first: int, last: int) -> list[bytes]:
    return [b"%d.%d" % (turn, number) for number in range(first, last + 1)]


async def test_what_was_written_is_read_from_any_place_and_is_dropped_after_a_while(
    store: TokenStreams, server: "redis.Redis", job: uuid.UUID
):
    told = await write(store, job, entry(1, 1, 3), entry(1, 4, 2), entry(2, 1, 1, is_end=True))
    assert told == [Written.YES] * 3
    assert await store.last(job) == Place(2, 2)
    assert 0 < await server.ttl(name_of(job)) <= streams.KEEP_S
    for place in [Place(), *(Place(1, seq) for seq in range(1, 6)), Place(2, 1), Place(2, 2)]:
        found = [new for each in await store.after(job, place) if (new := each.after(place))]
        chunks = [chunk for each in found for chunk in each.chunks]
        assert chunks == [one for one in pieces(1, 1, 5) + pieces(2, 1, 1) if tuple(map(int, one.split(b"."))) > place]


async def test_an_earlier_attempt_cannot_write_behind_a_later_one(store: TokenStreams, job: uuid.UUID):
    assert await write(store, job, entry(2, 1, 1), entry(1, 2, 1), entry(2, 1, 1)) == [
        Written.YES,
        Written.STALE,
        Written.STALE,
    ]


async def test_a_stream_that_was_lost_is_not_begun_in_its_middle(
    store: TokenStreams, server: "redis.Redis", job: uuid.UUID
):
    await write(store, job, entry(1, 1, 1))
    await server.delete(name_of(job))
    assert await write(store, job, entry(1, 2, 1)) == [Written.LOST]
    assert (await store.last(job), await store.after(job, Place())) == (Place(), [])


async def test_without_redis_every_call_says_so(job: uuid.UUID):
    store = TokenStreams("unix:///nowhere/redis.sock")
    for call in (store.append([Line(job, entry(1, 1, 1), is_first=True)]), store.last(job), store.after(job, Place())):
        with pytest.raises(RedisAway):
            await call
    await store.aclose()


@pytest.mark.parametrize("place", [Place(), Place(1, 2), Place(1, 5), Place(1, 6)])
async def test_a_follower_gets_what_was_and_what_comes_each_piece_once(
    hub: TokenHub, store: TokenStreams, job: uuid.UUID, place: Place
):
    await write(store, job, entry(1, 1, 4))
    async with hub.following(job, place, asyncio.Event()) as follower:
        reading = asyncio.create_task(read(follower, Place(1, 9)))
        for seq in range(5, 10):
            await write(store, job, entry(1, seq, 1))
        assert await reading == pieces(1, place.seq + 1, 9)


async def test_many_followers_of_many_jobs_share_one_connection(
    hub: TokenHub, store: TokenStreams, server: "redis.Redis", job: uuid.UUID
):
    other = uuid.uuid4()
    async with (
        hub.following(job, Place(), asyncio.Event()) as first,
        hub.following(job, Place(), asyncio.Event()) as second,
        hub.following(other, Place(), asyncio.Event()) as third,
    ):
        await store.append([Line(job, entry(1, 1, 2), is_first=True), Line(other, entry(1, 1, 3), is_first=True)])
        got = await asyncio.gather(read(first, Place(1, 2)), read(second, Place(1, 2)), read(third, Place(1, 3)))
        assert list(got) == [pieces(1, 1, 2), pieces(1, 1, 2), pieces(1, 1, 3)]
        ears = dict(await server.pubsub_numsub(BASE, name_of(job), name_of(other)))
        assert ears == {BASE.encode(): 1, name_of(job).encode(): 1, name_of(other).encode(): 1}
    async with asyncio.timeout(BOUND_S):
        while dict(await server.pubsub_numsub(name_of(job)))[name_of(job).encode()]:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0.01)


async def test_a_follower_that_reads_slowly_keeps_little_and_misses_nothing(
    hub: TokenHub, store: TokenStreams, job: uuid.UUID, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "MOST_WAITING_BYTES", 10)
    monkeypatch.setattr(streams, "LOOK_ENTRIES", 3)
    async with hub.following(job, Place(), asyncio.Event()) as follower:
        assert await follower.read() == []
        for seq in range(1, 31):
            await write(store, job, entry(1, seq, 1))
            assert follower._heard_bytes <= 10
        assert await read(follower, Place(1, 30)) == pieces(1, 1, 30)


async def test_pieces_whose_publishing_was_missed_are_found_in_the_stream(
    hub: TokenHub, store: TokenStreams, job: uuid.UUID
):
    await write(store, job, entry(1, 1, 2), entry(1, 3, 2))
    async with hub.following(job, Place(), asyncio.Event()) as follower:
        assert [each.last for each in await follower.read()] == [Place(1, 2), Place(1, 4)]
        follower._must_look = False
        follower.hear(entry(1, 7, 1))
        assert await follower.read() == []
        await write(store, job, entry(1, 5, 2), entry(1, 7, 1))
        assert await read(follower, Place(1, 7)) == pieces(1, 5, 7)


async def test_a_hub_whose_connection_is_cut_goes_on_without_a_gap(
    hub: TokenHub, store: TokenStreams, server: "redis.Redis", job: uuid.UUID, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "RETRY_S", 0.05)
    async with hub.following(job, Place(), asyncio.Event()) as follower:
        await write(store, job, entry(1, 1, 1))
        assert await read(follower, Place(1, 1)) == pieces(1, 1, 1)
        await server.client_kill_filter(_type="pubsub")
        await write(store, job, entry(1, 2, 1))
        assert await read(follower, Place(1, 2)) == pieces(1, 2, 2)


async def test_a_forged_entry_breaks_nobody(hub: TokenHub, store: TokenStreams, server: "redis.Redis", job: uuid.UUID):
    async with hub.following(job, Place(), asyncio.Event()) as follower:
        await server.xadd(name_of(job), {"x": "y"}, id="1-0")
        await server.xadd(name_of(job), {"e": b"\xff"}, id="1-1")
        await server.publish(name_of(job), b"\xff")
        await write(store, job, entry(1, 1, 2))
        assert await read(follower, Place(1, 2)) == pieces(1, 1, 2)
