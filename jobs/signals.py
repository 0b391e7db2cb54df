"""Wake-ups over Redis: who waits for a job's end, who should cancel, and "there is work". Hints, never the truth.

An ending that somebody may well be waiting for is told along with its hint, as it was just committed: its waiter needs
not look at the row then.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jobs.ending import Ending

log = logging.getLogger(__name__)

ENDED = "tokenyard:ended"
"""MessagePack: an array of pairs, a job's id (16 bytes) and its `Ending` or nil."""
CANCEL = "tokenyard:cancel"
SUBMITTED = "tokenyard:submitted"
TIMEOUT_S = 1.0
RETRY_S = 1.0
SILENCE_S = 25.0
GARBLED = (ValueError, RecursionError)
"""What a message can raise that is not ours; msgspec's own errors are ValueErrors."""
Heard = Callable[[Ending | None], None]
_pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_unpack = msgspec.msgpack.Decoder(list[tuple[uuid.UUID, msgspec.Raw]]).decode
_unpack_ending: Callable[[msgspec.Raw], Ending | None] = msgspec.msgpack.Decoder(Ending | None).decode


def connect(url: str) -> "redis.Redis":
    """A client with short time-outs and no second try: nobody waits for a hint."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


class Signals:
    """Publishes and hears hints. Without Redis everything still happens, found by slow polls of the rows.

    `silence_s`: after so long without a message Redis is asked whether it is there, and left after as long again.
    """

    def __init__(self, url: str, *, silence_s: float = SILENCE_S) -> None:
        self._url = url
        self._silence_s = silence_s
        self._client = connect(url)
        self._waiting: dict[uuid.UUID, set[Heard]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def tell(self, channel: str, job_ids: Sequence[uuid.UUID] = ()) -> None:
        """Publish ids (or a bare nudge); a Redis that is away is not an error here."""
        await self._publish(channel, _bytes(job_ids))

    def tell_soon(self, channel: str, job_ids: Sequence[uuid.UUID]) -> None:
        """The same for who must not wait: a Redis that hangs would hold up a request by a second for each message."""
        self._publish_soon(channel, _bytes(job_ids))

    def tell_endings(self, endings: Mapping[uuid.UUID, Ending | None]) -> None:
        """Wake who waits for these jobs' ends, soon; an ending that is told spares them the look at the row."""
        self._publish_soon(ENDED, _pack(list(endings.items())))

    async def _publish(self, channel: str, message: bytes) -> None:
        with suppress(RedisError, OSError):
            await self._client.publish(channel, message)

    def _publish_soon(self, channel: str, message: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._publish(channel, message))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def hear(self, channel: str, react: Callable[[list[uuid.UUID]], None]) -> None:
        """Call `react` with the ids of every message, for ever; reconnects by itself, cancel it to stop."""
        await self.listen(channel, lambda raw: react(_ids(raw)))

    async def listen(self, channel: str, react: Callable[[bytes], None]) -> None:
        """The same for messages that are something else than ids: `react` gets their bytes."""
        while True:
            try:
                await self._hear_once(channel, react)
            except (RedisError, OSError) as error:
                log.debug("signals: %s is silent (%s); trying again", channel, type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _hear_once(self, channel: str, react: Callable[[bytes], None]) -> None:
        client = redis.Redis.from_url(
            self._url,
            socket_timeout=None,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                is_asked = False
                while True:
                    message = await pubsub.get_message(timeout=self._silence_s)
                    if message is None:
                        if is_asked:
                            raise TimeoutError("Redis answers no ping: the connection is half open")
                        await asyncio.wait_for(pubsub.ping(), TIMEOUT_S)
                    elif message["type"] == "message":
                        react(message["data"])
                    is_asked = message is None
        finally:
            await client.aclose()

    async def hear_endings(self) -> None:
        """Wake the waiters of ended jobs, for ever: one connection for all waiters of an API process."""
        await self.listen(ENDED, self._wake)

    def _wake(self, message: bytes) -> None:
        try:
            told = _unpack(message)
        except GARBLED:
            return  # another version's; the slow polls find what it means
        for job_id, raw in told:
            if (waiting := self._waiting.get(job_id)) is not None:
                ending = _read(raw)
                for heard in waiting:
                    heard(ending)

    @contextmanager
    def waiting(self, job_id: uuid.UUID, heard: Heard) -> Iterator[None]:
        """Have `heard` called when the job has (probably) ended, with its ending if that is told along.

        Subscribe first, then look at the row. `heard` must not raise, nor end a wait itself.
        """
        self._waiting.setdefault(job_id, set()).add(heard)
        try:
            yield
        finally:
            waiting = self._waiting[job_id]
            waiting.discard(heard)
            if not waiting:
                del self._waiting[job_id]

    async def close(self) -> None:
        """Say what is still unsaid, then close the publishing connection."""
        if self._telling:
            await asyncio.wait(self._telling)
        await self._client.aclose()


def _read(raw: msgspec.Raw) -> Ending | None:
    """The ending that was told along; None without one, or where another version tells it in another form."""
    try:
        return _unpack_ending(raw)
    except GARBLED:
        return None


def _bytes(job_ids: Sequence[uuid.UUID]) -> bytes:
    return b"".join(job_id.bytes for job_id in job_ids)


def _ids(data: bytes) -> list[uuid.UUID]:
    return [uuid.UUID(bytes=data[start : start + 16]) for start in range(0, len(data) - 15, 16)]
