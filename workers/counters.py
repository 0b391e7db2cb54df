"""Counts calls against a provider key's limits: for the whole fleet in Redis, or this process's share in memory.

Both follow `routing.limits`: `MemoryCounters` calls it, `RedisCounters` runs its Lua twin, one script a verb, by the
Redis server's clock. `FallbackCounters` is what a worker uses: Redis, and the worker's share while Redis is away.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple, Protocol

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from jobs.settings import KeyLimits
from routing import limits as rule
from routing.limits import ADMITTED, Admitted, Allowance, Refusal, Reservation, Window

log = logging.getLogger(__name__)

TIMEOUT_S = 1.0
"""A Redis that has not answered by then counts as away."""
RETRY_S = 2.0
"""How often one call tries whether Redis is back."""
MAX_OWED = 10_000
"""Slots remembered to be given back when Redis returns; the oldest are left to their time to live."""


class CountersAway(Exception):
    """The counters cannot be reached; whether the call was counted is not known."""


class KeyName(NamedTuple):
    """A provider's key, by its place in the settings."""

    provider: str
    key_index: int


Seed = Callable[[str, int], Awaitable[tuple[int, int] | None]]
"""(provider, key index) -> (requests, tokens) of the last 60 s; None when nobody can tell. It must not raise."""


class Counters(Protocol):
    """Three atomic verbs over one key's window."""

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """Count a call in, or say when to come back. May raise CountersAway."""

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """Give its slot back and correct the tokens. May raise CountersAway: the slot's time to live frees it then."""

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """Let nobody in for so long. May raise CountersAway."""


class Seeds:
    """What keys used in the last minute; those who ask for one key at once share one question."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._asking: dict[KeyName, asyncio.Task[tuple[int, int] | None]] = {}

    async def levels(self, key: KeyName, allowance: Allowance) -> tuple[float, float]:
        """Levels to begin with. No answer within a second counts as a burst just spent."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key))
            task.add_done_callback(lambda _: self._asking.pop(key))
        return rule.seed_levels(allowance, await asyncio.shield(task))

    async def _ask(self, key: KeyName) -> tuple[int, int] | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._seed(key.provider, key.key_index)
        except TimeoutError:
            return None


@lru_cache(maxsize=256)
def _allowance(limits: KeyLimits, workers: int = 1) -> Allowance:
    return Allowance.of(limits, 1.0 / max(1, workers))


class MemoryCounters:
    """Counts in this process: the whole limit if it works alone, else its share of it.

    Shares are whole calls at the least: a worker may pass its part of a minute by less than one request, and always
    has one call in flight, so more workers than a key's concurrency overshoot it.
    """

    def __init__(self, seed: Seed, clock: Callable[[], float]) -> None:
        self.live_workers = 1
        """How many share the limits, this process included; the worker keeps it up to date."""
        self._seeds = Seeds(seed)
        self._clock = clock
        self._windows: dict[KeyName, Window] = {}

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """See Counters; never raises CountersAway."""
        allowance = _allowance(limits, self.live_workers)
        if self._window(key).at_s is None:
            levels = await self._seeds.levels(key, allowance)
            self._windows[key] = rule.seed(self._window(key), self._clock(), levels)
        self._windows[key], verdict = rule.admit(self._window(key), self._clock(), allowance, reservation)
        return verdict

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters; never raises CountersAway."""
        allowance = _allowance(limits, self.live_workers)
        self._windows[key] = rule.settle(self._window(key), self._clock(), allowance, reservation, extra_tokens)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters; never raises CountersAway."""
        self._windows[key] = rule.close(self._window(key), self._clock() + delay_s)

    def forget_levels(self) -> None:
        """Seed every key anew when it is next used: calls were counted elsewhere meanwhile."""
        self._windows = {key: msgspec.structs.replace(window, at_s=None) for key, window in self._windows.items()}

    def _window(self, key: KeyName) -> Window:
        return self._windows.get(key, Window())


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


class RedisCounters:
    """Counts for the whole fleet.

    Calls made in one turn of the event loop leave as one pipeline (50 together cost a tenth of 50 alone), and those
    made while it is away leave as the next: one connection, and nothing overtakes. A caller's cancellation never cuts
    a pipeline, so no reply can reach another's question.

    `clock` replaces the server's clock (seconds); the contract suite needs that, a fleet must not use it.
    """

    def __init__(self, url: str, seed: Seed, clock: Callable[[], float] | None = None) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._seeds = Seeds(seed)
        self._clock = clock
        self._admit, self._settle, self._close = (Script.named(name) for name in ("admit", "settle", "close"))
        self._waiting: list[Command] = []
        self._sender: asyncio.Task[None] | None = None

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """See Counters."""
        allowance = _allowance(limits)
        asked = _admit_arguments(allowance, reservation)
        reason, delay = await self._run(self._admit, key, [*asked, "", ""])
        if reason == b"unseeded":
            levels = await self._seeds.levels(key, allowance)
            reason, delay = await self._run(self._admit, key, [*asked, *map(repr, levels)])
        if reason == b"admitted":
            return ADMITTED
        return Refusal("concurrency" if reason == b"concurrency" else "rate_limit", float(delay))

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters."""
        allowance = _allowance(limits)
        rates = [repr(rate.per_s) if rate else "" for rate in (allowance.requests, allowance.tokens)]
        await self._run(self._settle, key, [*rates, reservation.id, repr(extra_tokens)])

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters."""
        await self._run(self._close, key, [repr(delay_s)])

    async def aclose(self) -> None:
        """Let what is on its way arrive, and give the connection back."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._client.aclose()

    async def _run(self, script: Script, key: KeyName, arguments: Sequence[str]) -> Any:
        loop = asyncio.get_running_loop()
        now = repr(self._clock()) if self._clock else ""
        # The braces keep both names on one node of a Redis cluster.
        name = f"tokenyard:limits:{{{key.provider}/{key.key_index}}}"
        command = Command(script, (name, f"{name}:slots"), (now, *arguments), loop.create_future())
        self._waiting.append(command)
        if self._sender is None:
            self._sender = loop.create_task(self._send_all())
        return await command.reply

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
                    command.reply.set_exception(CountersAway("the sender of this process stopped"))

    async def _answer(self, batch: Sequence[Command]) -> None:
        try:
            replies = await self._send(batch)
        except (RedisError, OSError) as error:
            replies = [error] * len(batch)
        for command, reply in zip(batch, replies, strict=True):
            if command.reply.done():
                continue
            if isinstance(reply, Exception):
                command.reply.set_exception(CountersAway(f"redis: {type(reply).__name__}"))
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


def _admit_arguments(allowance: Allowance, reservation: Reservation) -> list[str]:
    """ARGV 2 to 11 of admit.lua; `repr` gives every float back exactly."""
    rates = (allowance.requests, allowance.tokens)
    meters = [part for rate in rates for part in ((repr(rate.per_s), repr(rate.burst)) if rate else ("", ""))]
    return [
        *meters,
        "" if allowance.concurrency is None else str(allowance.concurrency),
        reservation.id,
        str(reservation.tokens),
        repr(reservation.slot_ttl_s),
        repr(allowance.spacing_s(reservation.tokens)),
        str(int(reservation.is_urgent)),
    ]


class FallbackCounters:
    """Redis while it answers, this worker's share of every limit while it does not; comes back by itself.

    Never unlimited, never an error: none of its verbs raises CountersAway. Slots given back while Redis was away are
    given back to it when it returns.
    """

    def __init__(self, shared: Counters, local: MemoryCounters, clock: Callable[[], float]) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._retry_at_s: float | None = None
        self._held_here: set[str] = set()
        self._owed: dict[str, tuple[KeyName, KeyLimits, Reservation]] = {}
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def is_shared(self) -> bool:
        """Whether limits are kept fleet-wide now; False: by shares."""
        return self._retry_at_s is None

    @property
    def live_workers(self) -> int:
        """Processes that share the limits while Redis is away; the worker sets it."""
        return self._local.live_workers

    @live_workers.setter
    def live_workers(self, count: int) -> None:
        self._local.live_workers = count

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """See Counters."""
        if self._is_worth_asking():
            try:
                verdict = await self._shared.admit(key, limits, reservation)
            except CountersAway as error:
                # The script may have run although its reply was lost: its slot is given back later.
                self._owe(key, limits, reservation)
                self._lost(error)
            else:
                self._found()
                return verdict
        verdict = await self._local.admit(key, limits, reservation)
        if isinstance(verdict, Admitted):
            self._held_here.add(reservation.id)
        return verdict

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters."""
        if reservation.id in self._held_here:
            self._held_here.discard(reservation.id)
            await self._local.settle(key, limits, reservation, extra_tokens)
            return
        try:
            if self.is_shared:
                await self._shared.settle(key, limits, reservation, extra_tokens)
                return
        except CountersAway as error:
            self._lost(error)
        self._owe(key, limits, reservation)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters. Closes the local window too, in case Redis goes away meanwhile."""
        await self._local.close_for(key, delay_s)
        if not self.is_shared:
            return
        try:
            await self._shared.close_for(key, delay_s)
        except CountersAway as error:
            self._lost(error)

    def _is_worth_asking(self) -> bool:
        """Redis answers, or it is this call's turn to try whether it does again."""
        if self._retry_at_s is None:
            return True
        if self._clock() < self._retry_at_s:
            return False
        self._retry_at_s = self._clock() + RETRY_S
        return True

    def _lost(self, error: CountersAway) -> None:
        if self.is_shared:
            log.warning("limits: %s; keeping this worker's share (1/%d)", error, self.live_workers)
            self._local.forget_levels()
        self._retry_at_s = self._clock() + RETRY_S

    def _found(self) -> None:
        if self.is_shared:
            return
        log.warning("limits: redis is back; kept fleet-wide again")
        self._retry_at_s = None
        owed, self._owed = self._owed, {}
        task = asyncio.get_running_loop().create_task(self._give_back(owed))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    def _owe(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> None:
        self._owed[reservation.id] = (key, limits, reservation)
        if len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]

    async def _give_back(self, owed: Mapping[str, tuple[KeyName, KeyLimits, Reservation]]) -> None:
        """Free the slots. The tokens are left as reserved: a correction that did arrive must not count twice."""
        try:
            await asyncio.gather(*(self._shared.settle(*held, 0.0) for held in owed.values()))
        except CountersAway as error:
            self._owed = {**owed, **self._owed}
            self._lost(error)
