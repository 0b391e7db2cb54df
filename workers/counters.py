"""Counts calls against a provider key's limits: for the whole fleet in Redis, or this process's share in memory.

Both follow `routing.limits`: `MemoryCounters` calls it, `RedisCounters` runs its Lua twin, one script a verb, by the
Redis server's clock. `FallbackCounters` is what a worker uses: Redis, and the worker's share while Redis is away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

import msgspec

from jobs.gatekeys import CHANNEL, key_text, limits_key, slots_key
from jobs.settings import KeyLimits
from routing import limits as rule
from routing.limits import ADMITTED, Admitted, Allowance, Refusal, Reservation, Window
from workers.scripts import TIMEOUT_S, RedisAway, Script, Scripts

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""How often one call tries whether Redis is back."""
MAX_OWED = 10_000
"""Slots remembered to be given back when Redis returns; the oldest are left to their time to live."""


class KeyName(NamedTuple):
    """A provider's key, by its place in the settings."""

    provider: str
    key_index: int


Seed = Callable[[str, int], Awaitable[tuple[int, int | None] | None]]
"""(provider, key index) -> (requests, tokens) of the last 60 s; None when nobody can tell. It must not raise."""


class Counters(Protocol):
    """Three atomic verbs over one key's window."""

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """Count a call in, or say when to come back. May raise RedisAway."""

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """Give its slot back and correct the tokens. May raise RedisAway: the slot's time to live frees it then."""

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """Let nobody in for so long. May raise RedisAway."""


class Seeds:
    """What keys used in the last minute; those who ask for one key at once share one question."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._asking: dict[KeyName, asyncio.Task[tuple[int, int | None] | None]] = {}

    async def levels(self, key: KeyName, allowance: Allowance) -> tuple[float, float]:
        """Levels to begin with. No answer within a second counts as a burst just spent."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key))
            task.add_done_callback(lambda _: self._asking.pop(key))
        return rule.seed_levels(allowance, await asyncio.shield(task))

    async def _ask(self, key: KeyName) -> tuple[int, int | None] | None:
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
        """See Counters; never raises RedisAway."""
        allowance = _allowance(limits, self.live_workers)
        if self._window(key).at_s is None:
            levels = await self._seeds.levels(key, allowance)
            self._windows[key] = rule.seed(self._window(key), self._clock(), levels)
        self._windows[key], verdict = rule.admit(self._window(key), self._clock(), allowance, reservation)
        return verdict

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters; never raises RedisAway."""
        allowance = _allowance(limits, self.live_workers)
        self._windows[key] = rule.settle(self._window(key), self._clock(), allowance, reservation, extra_tokens)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters; never raises RedisAway."""
        self._windows[key] = rule.close(self._window(key), self._clock() + delay_s)

    def forget_levels(self) -> None:
        """Seed every key anew when it is next used: calls were counted elsewhere meanwhile."""
        self._windows = {key: msgspec.structs.replace(window, at_s=None) for key, window in self._windows.items()}

    def _window(self, key: KeyName) -> Window:
        return self._windows.get(key, Window())


class RedisCounters:
    """Counts for the whole fleet, by the clock of the Redis server.

    A lost count begins again with what the ledger knows, and with this process's calls in flight; every other worker
    adds its own when it next asks. So a cap on calls in flight is passed by one call a worker at the most.
    """

    def __init__(self, scripts: Scripts, seed: Seed) -> None:
        self._scripts = scripts
        self._seeds = Seeds(seed)
        self._admit, self._settle, self._close, self._hold = map(Script.named, ("admit", "settle", "close", "hold"))
        self._born: dict[KeyName, bytes] = {}
        """Which count of a key this process knows its calls to be in."""
        self._held: dict[KeyName, dict[str, float]] = {}
        """Calls in flight and when their slots end, by the loop's clock (s); of keys with a cap."""

    async def admit(self, key: KeyName, limits: KeyLimits, reservation: Reservation) -> Admitted | Refusal:
        """See Counters."""
        allowance = _allowance(limits)
        asked = _admit_arguments(allowance, reservation)
        reason, delay, born = await self._scripts.run(self._admit, _names(key), *asked, "", "")
        if reason == b"unseeded":
            levels = await self._seeds.levels(key, allowance)
            await self._hold_again(key)
            reason, delay, born = await self._scripts.run(self._admit, _names(key), *asked, *map(repr, levels))
        elif self._born.get(key, born) != born:
            self._born[key] = born
            await self._hold_again(key)
        self._born[key] = born
        if reason != b"admitted":
            return Refusal("concurrency" if reason == b"concurrency" else "rate_limit", float(delay))
        if allowance.concurrency is not None:
            ends_at_s = asyncio.get_running_loop().time() + reservation.slot_ttl_s
            self._held.setdefault(key, {})[reservation.id] = ends_at_s
        return ADMITTED

    async def settle(self, key: KeyName, limits: KeyLimits, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters."""
        self._held.get(key, {}).pop(reservation.id, None)
        allowance = _allowance(limits)
        rates = [repr(rate.per_s) if rate else "" for rate in (allowance.requests, allowance.tokens)]
        await self._scripts.run(self._settle, _names(key), *rates, reservation.id, repr(extra_tokens))

    async def _hold_again(self, key: KeyName) -> None:
        now_s = asyncio.get_running_loop().time()
        self._held[key] = {id_: end_s for id_, end_s in self._held.get(key, {}).items() if end_s > now_s}
        pairs = [part for id_, end_s in self._held[key].items() for part in (id_, repr(end_s - now_s))]
        if pairs:
            await self._scripts.run(self._hold, _names(key), *pairs)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters. Whoever listens to the gates' channel hears of it."""
        await self._scripts.run(self._close, _names(key), repr(delay_s), key_text(*key), CHANNEL)


@lru_cache(maxsize=256)
def _names(key: KeyName) -> tuple[str, str]:
    text = key_text(*key)
    return limits_key(text), slots_key(text)


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

    Never unlimited, never an error: none of its verbs raises RedisAway. Slots given back while Redis was away are
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
            except RedisAway as error:
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
        except RedisAway as error:
            self._lost(error)
        self._owe(key, limits, reservation)

    async def close_for(self, key: KeyName, delay_s: float) -> None:
        """See Counters. Closes the local window too, in case Redis goes away meanwhile."""
        await self._local.close_for(key, delay_s)
        if not self._is_worth_asking():
            return
        try:
            await self._shared.close_for(key, delay_s)
        except RedisAway as error:
            self._lost(error)
        else:
            self._found()

    def _is_worth_asking(self) -> bool:
        """Redis answers, or it is this call's turn to try whether it does again."""
        if self._retry_at_s is None:
            return True
        if self._clock() < self._retry_at_s:
            return False
        self._retry_at_s = self._clock() + RETRY_S
        return True

    def _lost(self, error: RedisAway) -> None:
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
        except RedisAway as error:
            self._owed = {**owed, **self._owed}
            self._lost(error)
