"""Token streams over Redis: written by a worker, heard and read again by the API. What is lost here is told again.

A job's pieces stand in a Redis Stream whose entry ids are `turn-seq`, given by the worker: Redis itself refuses what
comes from an earlier attempt than its last. Each entry is also published, so that an API process hears all the
streams that it follows over one connection; the stream is for who comes late, missed something, or reads slowly.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Any, NamedTuple

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from jobs.signals import RETRY_S, SILENCE_S, TIMEOUT_S, connect
from jobs.tokens import Entry, Place, pack, unpack

log = logging.getLogger(__name__)

KEEP_S = 600
"""A stream is dropped so long after its last entry; from then on the stored answer is told instead."""
LOOK_ENTRIES = 200
"""Read from a stream at once."""
MOST_WAITING_BYTES = 1_000_000
"""Kept for a reader that does not keep up; beyond it, it reads the stream again from its place."""
BASE = "tokenyard:tokens"


class RedisAway(Exception):
    """Redis does not answer; whether something was written is not known."""


class away:  # noqa: N801 -- reads as a clause: `with away():`
    """Translates Redis' errors into RedisAway, once, at this border."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RedisError | OSError):
            raise RedisAway(type(error).__name__) from error


class Written(Enum):
    """What became of an entry."""

    YES = "yes"
    LOST = "lost"
    """The stream is gone, and with it what was written before."""
    STALE = "stale"
    """The stream is further on already: by another attempt, or by this very entry sent before."""


class Line(NamedTuple):
    """An entry on its way to a job's stream."""

    job_id: uuid.UUID
    entry: Entry
    is_first: bool
    """It may begin the stream; any other that finds none is not written."""


def name_of(job_id: uuid.UUID) -> str:
    """The key of a job's stream, and the channel of its entries."""
    return f"{BASE}:{job_id.hex}"


class TokenStreams:
    """The streams, as they are written and read again. Calls raise RedisAway."""

    def __init__(self, url: str) -> None:
        self._client: Any = connect(url)

    async def append(self, lines: Sequence[Line]) -> list[Written]:
        """Write entries of different jobs, one each, in one round trip, and publish them."""
        pipeline = self._client.pipeline(transaction=False)
        for line in lines:
            name, raw = name_of(line.job_id), pack(line.entry)
            turn, seq = line.entry.last
            pipeline.xadd(name, {b"e": raw}, id=f"{turn}-{seq}", nomkstream=not line.is_first)
            pipeline.expire(name, KEEP_S)
            pipeline.publish(name, raw)
        with away():
            replies = await pipeline.execute(raise_on_error=False)
        return [_written(reply) for reply in replies[::3]]

    async def last(self, job_id: uuid.UUID) -> Place:
        """The place of the last piece in a stream; `Place()` when there is none."""
        with away():
            found = await self._client.xrevrange(name_of(job_id), count=1)
        return _place(found[0]) if found else Place()

    async def after(self, job_id: uuid.UUID, place: Place) -> list[Entry]:
        """Up to LOOK_ENTRIES entries that a reader at that place has not read to their end."""
        with away():
            found = await self._client.xrange(name_of(job_id), f"({place.turn}-{place.seq}", "+", LOOK_ENTRIES)
        read = [unpack(fields[b"e"]) for _, fields in found if b"e" in fields]
        return [entry for entry in read if entry is not None]

    async def erase(self, job_id: uuid.UUID) -> None:
        """Drop a job's stream before its time."""
        with away():
            await self._client.delete(name_of(job_id))

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


class Follower:
    """A reader of one job's tokens; `read` gives what is new, each piece once and in order.

    `wake` is set when there may be something.
    """

    def __init__(self, streams: TokenStreams, job_id: uuid.UUID, place: Place, wake: asyncio.Event) -> None:
        self._streams = streams
        self._job_id = job_id
        self.place = place
        self.wake = wake
        self._heard: deque[Entry] = deque()
        self._heard_bytes = 0
        self._must_look = True

    def hear(self, entry: Entry) -> None:
        """An entry was published. What a slow reader has no room for it finds in the stream."""
        size = sum(map(len, entry.chunks))
        if self._must_look or self._heard_bytes + size > MOST_WAITING_BYTES:
            self.look_again()
        else:
            self._heard.append(entry)
            self._heard_bytes += size
            self.wake.set()

    def look_again(self) -> None:
        """Something may have been missed: the next read goes to the stream."""
        self._heard.clear()
        self._heard_bytes = 0
        self._must_look = True
        self.wake.set()

    async def read(self) -> list[Entry]:
        """What comes after the place, which moves on behind it; [] when there is nothing, or Redis is away."""
        if not self._must_look:
            heard, self._heard_bytes = list(self._heard), 0
            self._heard.clear()
            return self._take(heard)
        self._must_look = False  # first: what is published while the stream is read is heard
        try:
            found = await self._streams.after(self._job_id, self.place)
        except RedisAway:
            self.look_again()
            return []
        if len(found) == LOOK_ENTRIES:
            self.look_again()
        return self._take(found)

    def _take(self, entries: Sequence[Entry]) -> list[Entry]:
        fresh = []
        for entry in entries:
            new = entry.after(self.place)
            if new is None:
                continue
            if not new.follows(self.place):  # what lies between is in the stream, or its worker writes it again
                self._must_look = True
                break
            fresh.append(new)
            self.place = new.last
        return fresh


class TokenHub:
    """Hears the streams that somebody in this process follows, over one connection. Run `hear` beside the requests.

    `silence_s`: after so long without a word Redis is asked whether it is there.
    """

    def __init__(self, url: str, *, silence_s: float = SILENCE_S) -> None:
        self._url = url
        self._silence_s = silence_s
        self._streams = TokenStreams(url)
        self._followers: dict[str, set[Follower]] = {}
        self._pubsub: Any = None

    @asynccontextmanager
    async def following(self, job_id: uuid.UUID, place: Place, wake: asyncio.Event) -> AsyncIterator[Follower]:
        """A reader of a job's tokens after a place, which is subscribed before it looks."""
        follower, name = Follower(self._streams, job_id, place, wake), name_of(job_id)
        is_new = name not in self._followers
        self._followers.setdefault(name, set()).add(follower)
        try:
            if is_new:
                await self._tell("subscribe", name)
            yield follower
        finally:
            self._followers[name].discard(follower)
            if not self._followers[name]:
                del self._followers[name]
                await self._tell("unsubscribe", name)

    async def erase(self, job_id: uuid.UUID) -> None:
        """Drop a job's stream; while Redis is away it is left to its ten minutes."""
        with suppress(RedisAway):
            await self._streams.erase(job_id)

    async def _tell(self, verb: str, name: str) -> None:
        """Change what this process hears. A Redis that hangs is the listener's matter: it begins anew."""
        if self._pubsub is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await asyncio.wait_for(getattr(self._pubsub, verb)(name), TIMEOUT_S)

    async def hear(self) -> None:
        """Hear, for ever; reconnects by itself, cancel it to stop."""
        while True:
            try:
                await self._hear_once()
            except (RedisError, OSError) as error:
                log.debug("token streams are silent (%s); trying again", type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _hear_once(self) -> None:
        client = redis.Redis.from_url(
            self._url,
            socket_timeout=None,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(BASE)
                self._pubsub = pubsub
                if self._followers:  # whoever comes from now on subscribes by itself
                    await pubsub.subscribe(*self._followers)
                await self._listen(pubsub)
        finally:
            self._pubsub = None
            await client.aclose()

    async def _listen(self, pubsub: Any) -> None:
        is_asked = False
        while True:
            message = await pubsub.get_message(timeout=self._silence_s)
            if message is None:
                if is_asked:
                    raise TimeoutError("Redis answers no ping: the connection is half open")
                await asyncio.wait_for(pubsub.ping(), TIMEOUT_S)
            elif message["type"] in {"message", "subscribe"}:
                self._pass_on(message)
            is_asked = message is None

    def _pass_on(self, message: dict[str, Any]) -> None:
        """An entry to those who follow its job; a fresh subscription makes them look for what came before it."""
        followers = self._followers.get(message["channel"].decode(), ())
        entry = unpack(message["data"]) if message["type"] == "message" else None
        for follower in followers:
            if entry is None:
                follower.look_again()
            else:
                follower.hear(entry)

    async def aclose(self) -> None:
        """Give the connections back; end `hear` first."""
        await self._streams.aclose()


def _written(reply: Any) -> Written:
    if isinstance(reply, ResponseError):
        return Written.STALE
    if isinstance(reply, Exception):
        raise RedisAway(type(reply).__name__)
    return Written.LOST if reply is None else Written.YES


def _place(entry: Any) -> Place:
    turn, _, seq = entry[0].decode().partition("-")
    return Place(int(turn), int(seq))
