"""Hints over a real Redis: heard, heard again after a cut, and never an error."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import redis.asyncio as redis

from jobs.ending import Cost, Ending
from jobs.signals import CANCEL, ENDED, SUBMITTED, Signals
from jobs.states import State

IDS = [uuid.UUID(int=number) for number in (1, 2, (1 << 128) - 1)]
FOREIGN = (
    b"of another version",
    b"\x91" * 2000,
    b"\x91\x92\xc4\x10" + IDS[0].bytes + b"\xa1\xff",
    msgspec.msgpack.encode([(IDS[0].bytes, {"state": "new"})]),
)
ENDING = Ending(
    state=State.SUCCEEDED,
    ended_for_s=0.0,
    error=None,
    answer=b'{"id": "x"}',
    attempt=uuid.UUID(int=7),
    turn=1,
    deployment="maker/name@acme",
    cost=Cost(Decimal("0.000000000001"), Decimal("0.000000000001"), is_complete=True),
    calls=1,
    adaptations=2,
    is_purged=False,
)
BOUND_S = 10.0


@pytest.fixture
async def signals(redis_url: str) -> AsyncIterator[Signals]:
    opened = Signals(redis_url)
    yield opened
    await opened.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator["redis.Redis"]:
    async with redis.Redis.from_url(redis_url) as client:
        yield client


async def subscribers(server: "redis.Redis", channel: str, count: int) -> None:
    """Wait until a channel has so many ears."""
    async with asyncio.timeout(BOUND_S):
        while dict(await server.pubsub_numsub(channel))[channel.encode()] != count:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0.01)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_told_is_heard_with_its_ids(signals: Signals, server: "redis.Redis"):
    heard: asyncio.Queue[list[uuid.UUID]] = asyncio.Queue()
    ear = asyncio.create_task(signals.hear(CANCEL, heard.put_nowait))
    await subscribers(server, CANCEL, 1)
    await signals.tell(CANCEL, IDS)
    await signals.tell(CANCEL)
    async with asyncio.timeout(BOUND_S):
        assert await heard.get() == IDS
        assert await heard.get() == []
    await stop(ear)


async def test_what_is_told_soon_is_told_before_the_end(redis_url: str, server: "redis.Redis"):
    heard: asyncio.Queue[list[uuid.UUID]] = asyncio.Queue()
    listener, teller = Signals(redis_url), Signals(redis_url)
    ear = asyncio.create_task(listener.hear(CANCEL, heard.put_nowait))
    await subscribers(server, CANCEL, 1)
    teller.tell_soon(CANCEL, IDS)
    await teller.close()
    async with asyncio.timeout(BOUND_S):
        assert await heard.get() == IDS
    await stop(ear)
    await listener.close()


async def test_a_waiter_is_woken_by_its_own_job_only(signals: Signals, server: "redis.Redis"):
    ear = asyncio.create_task(signals.hear_endings())
    await subscribers(server, ENDED, 1)
    mine: asyncio.Queue[Ending | None] = asyncio.Queue()
    mine_too: asyncio.Queue[Ending | None] = asyncio.Queue()
    other: asyncio.Queue[Ending | None] = asyncio.Queue()
    with (
        signals.waiting(IDS[0], mine.put_nowait),
        signals.waiting(IDS[0], mine_too.put_nowait),
        signals.waiting(IDS[1], other.put_nowait),
    ):
        signals.tell_endings({IDS[0]: ENDING, IDS[2]: None})
        async with asyncio.timeout(BOUND_S):
            assert await mine.get() == await mine_too.get() == ENDING
        assert other.empty()
    await stop(ear)


async def test_an_ending_that_is_not_told_along_is_a_hint_to_look(signals: Signals, server: "redis.Redis"):
    ear = asyncio.create_task(signals.hear_endings())
    await subscribers(server, ENDED, 1)
    heard: asyncio.Queue[Ending | None] = asyncio.Queue()
    with signals.waiting(IDS[0], heard.put_nowait):
        for message in FOREIGN:
            await server.publish(ENDED, message)
        signals.tell_endings(dict.fromkeys(IDS))
        async with asyncio.timeout(BOUND_S):
            assert [await heard.get() for _ in range(3)] == [None] * 3  # two of the foreign ones name the job
    assert heard.empty()
    await stop(ear)


async def test_the_ear_is_back_after_its_connection_was_killed(signals: Signals, server: "redis.Redis"):
    heard: asyncio.Queue[list[uuid.UUID]] = asyncio.Queue()
    ear = asyncio.create_task(signals.hear(SUBMITTED, heard.put_nowait))
    await subscribers(server, SUBMITTED, 1)
    assert await server.client_kill_filter(_type="pubsub") >= 1
    async with asyncio.timeout(BOUND_S):
        while heard.empty():
            await signals.tell(SUBMITTED, IDS)
            await asyncio.sleep(0.02)
    assert heard.get_nowait() == IDS
    await stop(ear)


async def test_nobody_waits_for_a_redis_that_is_away():
    absent = Signals("unix:///nonexistent/redis.sock")
    await absent.tell(CANCEL, IDS)
    absent.tell_endings(dict.fromkeys(IDS))
    ear = asyncio.create_task(absent.hear_endings())
    await asyncio.sleep(0.05)
    assert not ear.done()
    await stop(ear)
    await absent.close()


async def test_who_stops_waiting_leaves_nothing_behind(signals: Signals):
    heard: list[Ending | None] = []
    for _ in range(2):
        with signals.waiting(IDS[0], heard.append), signals.waiting(IDS[0], print):
            assert list(signals._waiting) == [IDS[0]]
    assert signals._waiting == {}


class Deaf:
    """A road to Redis whose first traveller is never answered again after its subscription."""

    def __init__(self, redis_url: str) -> None:
        self._path = redis_url.removeprefix("unix://").partition("?")[0]
        self.travellers = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.travellers += 1
        is_deaf = self.travellers == 1
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        answered = asyncio.Event()
        there = asyncio.create_task(self._carry(reader, far_writer, None))
        back = asyncio.create_task(self._carry(far_reader, writer, answered if is_deaf else None))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        for task, end in ((there, far_writer), (back, writer)):
            task.cancel()
            end.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event | None
    ) -> None:
        while data := await reader.read(4096):
            if answered is None or not answered.is_set():
                writer.write(data)
            if answered is not None and ENDED.encode() in data:
                answered.set()


async def test_a_half_open_connection_is_left_for_a_new_one(redis_url: str, yard_folder: Path):
    deaf = Deaf(redis_url)
    path = yard_folder / "deaf.sock"
    heard: asyncio.Queue[list[uuid.UUID]] = asyncio.Queue()
    async with await asyncio.start_unix_server(deaf, path):
        ear_signals, mouth = Signals(f"unix://{path}", silence_s=0.1), Signals(redis_url)
        ear = asyncio.create_task(ear_signals.hear(ENDED, heard.put_nowait))
        async with asyncio.timeout(BOUND_S):
            while heard.empty():
                await mouth.tell(ENDED, IDS)
                await asyncio.sleep(0.02)
        assert deaf.travellers == 2
        assert heard.get_nowait() == IDS
        await stop(ear)
        await ear_signals.close()
        await mouth.close()
