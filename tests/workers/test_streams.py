"""Answers shown while they come: what leaves, when it may, and that a loss of Redis costs no piece."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from jobs.policy import Policy
from jobs.streams import Line, TokenStreams, Written, name_of
from jobs.tokens import Place
from routing.dialects.base import Delta
from tests.workers.lab import POLICY, Lab, answers
from tests.workers.server import Answering, Server, sends
from workers import streams
from workers.streams import Sender, Tokens

HEAD = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
TAIL = b"data: [DONE]\n\n"
BOUND_S = 10.0
ASKING = b'{"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
OPEN_HANDED = msgspec.structs.replace(POLICY, min_confidence=None)
DEPLOYMENT = "maker/small@a"


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta: dict[str, Any] = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta | more, "finish_reason": finish, "logprobs": None}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return msgspec.json.encode(head | {"choices": choices})


def event(raw: bytes) -> bytes:
    return b"data: " + raw + b"\n\n"


ROLE, YES, NO, STOP = chunk("", role="assistant"), chunk("yes"), chunk(" and no"), chunk(finish="stop")
SHOWN_STOP = (
    b'{"id":"c","created":1,"model":"m","object":"chat.completion.chunk",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop","logprobs":null}]}'
)
"""The end as it is shown: written when the answer is known to be whole."""


def streaming(*chunks: bytes, tail: bytes = TAIL) -> Answering:
    return sends(HEAD, *map(event, chunks), tail, close=True)


@pytest.fixture
async def store(redis_url: str):
    opened = TokenStreams(redis_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def server(redis_url: str):
    async with redis.Redis.from_url(redis_url) as client:
        yield client


def under(lab: Lab, policy: Policy) -> None:
    """Let all jobs of the lab run under this policy."""
    planned = lab.parts.plan
    lab.parts.plan = lambda job: msgspec.structs.replace(planned(job), policy=policy)


async def shown(store: TokenStreams, job: uuid.UUID) -> list[tuple[str, bytes | None]]:
    """Everything in a job's stream: (id, piece), None for an end."""
    found: list[tuple[str, bytes | None]] = []
    for entry in await store.after(job, Place()):
        found += [(str(Place(entry.turn, entry.first + n)), each) for n, each in enumerate(entry.chunks)]
        found += [(str(entry.last), None)] if entry.is_end else []
    return found


async def written(store: TokenStreams, job: uuid.UUID, place: Place) -> None:
    async with asyncio.timeout(BOUND_S):
        while await store.last(job) < place:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0.005)


async def test_a_streamed_answer_is_in_the_stream_piece_by_piece_with_its_end(lab: Lab, store: TokenStreams):
    under(lab, OPEN_HANDED)
    lab.script(a=[streaming(ROLE, YES, NO, STOP)])
    job = await lab.claimed(request_raw=ASKING)
    assert await lab.carry(job) == "succeeded"
    await written(store, job.id, Place(1, 5))
    assert await shown(store, job.id) == [("1.1", ROLE), ("1.2", YES), ("1.3", NO), ("1.4", SHOWN_STOP), ("1.5", None)]
    (attempt,) = await lab.attempts(job)
    (entry, *_) = await store.after(job.id, Place())
    assert (entry.attempt, entry.deployment) == (attempt.id, DEPLOYMENT)


async def test_pieces_leave_while_the_provider_is_still_speaking(lab: Lab, store: TokenStreams):
    under(lab, OPEN_HANDED)
    may_end = asyncio.Event()

    async def slow(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event(ROLE) + event(YES))
        await may_end.wait()
        writer.write(event(NO) + event(STOP) + TAIL)
        writer.close()

    lab.script(a=[slow])
    job = await lab.claimed(request_raw=ASKING)
    running = lab.carry(job)
    await written(store, job.id, Place(1, 2))
    may_end.set()
    assert await running == "succeeded"


async def test_a_job_that_did_not_ask_shows_nothing(lab: Lab, server: "redis.Redis"):
    under(lab, OPEN_HANDED)
    lab.script(a=[answers()])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    await lab.parts.tokens.aclose()
    assert not await server.exists(name_of(job.id))


async def test_a_call_that_breaks_before_its_first_content_has_shown_nothing(lab: Lab, store: TokenStreams):
    under(lab, OPEN_HANDED)
    lab.script(a=[streaming(ROLE, tail=b"")], b=[streaming(ROLE, YES, STOP)])
    job = await lab.claimed(request_raw=ASKING)
    assert await lab.carry(job) == "succeeded"
    await written(store, job.id, Place(2, 4))
    assert [place for place, _ in await shown(store, job.id)] == ["2.1", "2.2", "2.3", "2.4"]


async def test_an_answer_that_breaks_has_no_end_and_the_next_attempt_begins_a_new_turn(lab: Lab, store: TokenStreams):
    under(lab, OPEN_HANDED)
    lab.script(a=[streaming(ROLE, YES, tail=b"")], b=[streaming(ROLE, NO, STOP)])
    job = await lab.claimed(request_raw=ASKING)
    assert await lab.carry(job) == "succeeded"
    await written(store, job.id, Place(2, 4))
    told = await shown(store, job.id)
    assert told == [("1.1", ROLE), ("1.2", YES), ("2.1", ROLE), ("2.2", NO), ("2.3", SHOWN_STOP), ("2.4", None)]


async def test_a_cascade_shows_nothing_of_a_tier_that_may_be_rejected(lab: Lab, store: TokenStreams):
    """No log-probabilities: the small model's answers are unsure and go on to the large one, whose answer is taken."""
    lab.script(a=[streaming(ROLE, YES, STOP)], c=[streaming(ROLE, NO, STOP)])
    job = await lab.claimed(request_raw=ASKING)
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(DEPLOYMENT, "rejected"), ("maker/large@c", "accepted")]
    await written(store, job.id, Place(2, 4))
    assert [place for place, _ in await shown(store, job.id)] == ["2.1", "2.2", "2.3", "2.4"]


async def test_a_stream_lost_in_the_middle_is_written_again_whole(lab: Lab, store: TokenStreams, server: "redis.Redis"):
    under(lab, OPEN_HANDED)
    may_end = asyncio.Event()

    async def slow(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event(ROLE) + event(YES))
        await may_end.wait()
        writer.write(event(NO) + event(STOP) + TAIL)
        writer.close()

    lab.script(a=[slow])
    job = await lab.claimed(request_raw=ASKING)
    running = lab.carry(job)
    await written(store, job.id, Place(1, 2))
    await server.flushdb()
    may_end.set()
    assert await running == "succeeded"
    await written(store, job.id, Place(1, 5))
    assert await shown(store, job.id) == [("1.1", ROLE), ("1.2", YES), ("1.3", NO), ("1.4", SHOWN_STOP), ("1.5", None)]


MENDED, FLAWED = b'{"a": 1,}', b'{"b": 1}'
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}


@pytest.mark.parametrize(("said", "calls"), [(MENDED, 1), (FLAWED, 2)], ids=["mended", "flawed"])
async def test_an_answer_that_is_not_the_jobs_as_it_was_shown_has_no_end(
    lab: Lab, store: TokenStreams, said: bytes, calls: int
):
    """So its readers are told the stored one instead."""
    under(lab, OPEN_HANDED)
    again = [streaming(ROLE, chunk('{"a": 1}'), STOP)] if calls > 1 else []
    lab.script(a=[streaming(ROLE, chunk(said.decode()), STOP), *again])
    asking = msgspec.json.encode(msgspec.json.decode(ASKING) | {"response_format": FORMAT})
    job = await lab.claimed(request_raw=asking)
    assert await lab.carry(job) == "succeeded"
    await written(store, job.id, Place(calls, 3))
    await lab.parts.tokens.aclose()
    told = await shown(store, job.id)
    assert [place for place, piece in told if piece is None] == (["2.4"] if calls > 1 else [])
    assert ("1.3", SHOWN_STOP) in told


def tokens_of(sender: Sender, job_id: uuid.UUID, turn: int) -> Tokens:
    return Tokens(sender, job_id, turn, DEPLOYMENT)


async def test_an_attempt_of_a_worker_that_lost_its_lease_cannot_write_behind_the_next(
    redis_url: str, store: TokenStreams
):
    sender, job_id = Sender(TokenStreams(redis_url)), uuid.uuid4()
    stale, fresh = tokens_of(sender, job_id, 1), tokens_of(sender, job_id, 2)
    stale.take(uuid.uuid4(), Delta(YES, has_content=True))
    await written(store, job_id, Place(1, 1))
    fresh.take(uuid.uuid4(), Delta(NO, has_content=True))
    await written(store, job_id, Place(2, 1))
    stale.take(uuid.uuid4(), Delta(STOP, has_content=False))
    fresh.end(is_whole=True)
    await written(store, job_id, Place(2, 2))
    await sender.aclose()
    assert not stale.has_news
    assert await shown(store, job_id) == [("1.1", YES), ("2.1", NO), ("2.2", None)]


async def test_what_redis_did_not_take_while_it_was_away_is_written_when_it_is_back(
    redis_url: str, store: TokenStreams, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "AGAIN_S", 0.02)
    away, job_id = TokenStreams("unix:///nowhere/redis.sock"), uuid.uuid4()
    sender = Sender(away)
    tokens = tokens_of(sender, job_id, 1)
    tokens.take(uuid.uuid4(), Delta(YES, has_content=True))
    async with asyncio.timeout(BOUND_S):
        while not tokens.is_unsure:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0.005)
    tokens.take(uuid.uuid4(), Delta(NO, has_content=True))
    sender._streams = TokenStreams(redis_url)
    await written(store, job_id, Place(1, 2))
    assert await shown(store, job_id) == [("1.1", YES), ("1.2", NO)]
    await sender.aclose()
    await away.aclose()


async def test_without_redis_an_attempt_that_is_over_is_given_up():
    sender = Sender(TokenStreams("unix:///nowhere/redis.sock"))
    tokens = tokens_of(sender, uuid.uuid4(), 1)
    tokens.take(uuid.uuid4(), Delta(YES, has_content=True))
    tokens.end(is_whole=True)
    await sender.aclose()
    assert sender._due == {}


async def test_a_redis_that_refuses_every_entry_is_not_asked_for_ever(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Out of memory, say: reads work, writes do not."""
    store, asked = TokenStreams(redis_url), 0

    async def refuse(lines: Sequence[Line]) -> list[Written]:
        nonlocal asked
        asked += 1
        return [Written.STALE] * len(lines)

    monkeypatch.setattr(store, "append", refuse)
    sender = Sender(store)
    tokens = tokens_of(sender, uuid.uuid4(), 1)
    for _ in range(2 * streams.MOST_REFUSALS):
        tokens.take(uuid.uuid4(), Delta(YES, has_content=True))
        await asyncio.sleep(0)
    await sender.aclose()
    assert (asked, sender._due, tokens.has_news) == (streams.MOST_REFUSALS, {}, False)
