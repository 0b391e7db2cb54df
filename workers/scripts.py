"""Runs the Lua scripts: calls of one moment leave as one pipeline over one connection, and come back in order."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

TIMEOUT_S = 1.0
"""A Redis that has not answered by then counts as away."""


class RedisAway(Exception):
    """Redis cannot be reached; whether a script ran is not known."""


class Script(NamedTuple):
    """A Lua script and the name Redis keeps it by."""

    text: str
    sha: str

    @classmethod
    def named(cls, name: str) -> "Script":
        """The script in `workers/lua/<name>.lua`."""
        text = files("workers").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Command(NamedTuple):
    """One script call on its way, and who waits for its reply."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[str]
    reply: asyncio.Future[Any]


class Scripts:
    """A process's one road to the scripts, for its counters and its breakers.

    Calls made in one turn of the event loop leave as one pipeline (50 together cost a tenth of 50 alone), and those
    made while it is away leave as the next: one connection, and nothing overtakes. A caller's cancellation never cuts
    a pipeline, so no reply can reach another's question.

    `clock` replaces the server's clock (seconds); the contract suite needs that, a fleet must not use it.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._clock = clock
        self._waiting: list[Command] = []
        self._sender: asyncio.Task[None] | None = None

    async def run(self, script: Script, keys: Sequence[str], *arguments: str) -> Any:
        """Run a script, its first argument the time; the reply as Redis gives it. Raises RedisAway."""
        loop = asyncio.get_running_loop()
        now = repr(self._clock()) if self._clock else ""
        command = Command(script, keys, (now, *arguments), loop.create_future())
        self._waiting.append(command)
        if self._sender is None:
            self._sender = loop.create_task(self._send_all())
        return await command.reply

    async def read(self, *commands: Sequence[str]) -> tuple[float, list[Any]]:
        """The time (s) and the replies of plain reading commands, in one round trip. Raises RedisAway."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("TIME")
        for command in commands:
            pipeline.execute_command(*command)
        try:
            (seconds, micros), *replies = await pipeline.execute()
        except (RedisError, OSError) as error:
            raise RedisAway(f"redis: {type(error).__name__}") from error
        return self._clock() if self._clock else int(seconds) + int(micros) / 1e6, replies

    async def aclose(self) -> None:
        """Let what is on its way arrive, and give the connection back."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._client.aclose()

    async def _send_all(self) -> None:
        batch: list[Command] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
        finally:
            self._sender = None
            for command in batch + self._waiting:  # only when this task was cut short: nobody may wait for ever
                if not command.reply.done():
                    command.reply.set_exception(RedisAway("the sender of this process stopped"))

    async def _answer(self, batch: Sequence[Command]) -> None:
        try:
            replies = await self._send(batch)
        except (RedisError, OSError) as error:
            replies = [error] * len(batch)
        for command, reply in zip(batch, replies, strict=True):
            if command.reply.done():
                continue
            if isinstance(reply, Exception):
                command.reply.set_exception(RedisAway(f"redis: {type(reply).__name__}"))
            else:
                command.reply.set_result(reply)

    async def _send(self, batch: Sequence[Command]) -> list[Any]:
        """Replies in order, an error among them as a value. A Redis that lost its scripts gets them again."""
        replies = await self._pipeline(batch)
        lost = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lost:
            for script in {batch[place].script for place in lost}:
                await self._client.script_load(script.text)
            again = await self._pipeline([batch[place] for place in lost])
            for place, reply in zip(lost, again, strict=True):
                replies[place] = reply
        return replies

    async def _pipeline(self, batch: Sequence[Command]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in batch:
            pipeline.evalsha(command.script.sha, len(command.keys), *command.keys, *command.arguments)
        return await pipeline.execute(raise_on_error=False)
