"""Counts calls against the limits of keys and their models: for the fleet in Redis, or a process's share in memory.

Both follow `routing.limits`: `MemoryCounters` calls it, `RedisCounters` runs its Lua twin, one script a verb, by the
Redis server's clock. `FallbackCounters` is what a worker uses: Redis, and the worker's share while Redis is away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from jobs.gatekeys import key_text, limits_key, model_text, models_key, slots_key
from jobs.settings import KeyLimits
from routing import limits as rule
from routing.limits import ADMITTED, Admitted, Allowance, Refusal, Reservation, Window
from workers.scripts import TIMEOUT_S, RedisAway, Script, Scripts

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""How often one call tries whether Redis is back."""
UNSEEDED = ("", "")
"""Levels that admit.lua does not begin with."""
MAX_OWED = 10_000
"""Slots remembered to be given back when Redis returns; the oldest are left to their time to live."""


class KeyName(NamedTuple):
    """A provider's key, by its place in the settings."""

    provider: str
    key_index: int


class Place(NamedTuple):
    """Where a provider counts: one model of a key, or the whole key."""

    key: KeyName
    model: str = ""
    """Its name at the provider; empty: the whole key."""


class Spot(NamedTuple):
    """A place with its limits: one window."""

    place: Place
    limits: KeyLimits


Spots = tuple[Spot, ...]
"""The windows that one call counts in, all of one key; never none."""

Seed = Callable[[Place], Awaitable[tuple[int, int | None] | None]]
"""(requests, tokens) of the last 60 s at a place; None when nobody can tell. It must not raise."""


class Counters(Protocol):
    """Two atomic verbs over the windows of one call."""

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        """Count a call in everywhere, or nowhere and say when to come back. May raise RedisAway."""

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        """Give its slots back and correct the tokens. May raise RedisAway: the slots' time to live frees them then."""


class Seeds:
    """What was used in the last minute; those who ask for one place at once share one question."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._asking: dict[Place, asyncio.Task[tuple[int, int | None] | None]] = {}

    async def levels(self, place: Place, allowance: Allowance) -> tuple[float, float]:
        """Levels to begin with. No answer within a second counts as a burst just spent."""
        task = self._asking.get(place)
        if task is None:
            task = self._asking[place] = asyncio.get_running_loop().create_task(self._ask(place))
            task.add_done_callback(lambda _: self._asking.pop(place))
        return rule.seed_levels(allowance, await asyncio.shield(task))

    async def _ask(self, place: Place) -> tuple[int, int | None] | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._seed(place)
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
        self._windows: dict[Place, Window] = {}

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        """See Counters; never raises RedisAway."""
        allowances = [self._allowance(spot) for spot in spots]
        for (place, _), allowance in zip(spots, allowances, strict=True):
            if self._window(place).at_s is None:
                levels = await self._seeds.levels(place, allowance)
                self._windows[place] = rule.seed(self._window(place), self._clock(), levels)
        windows = [self._window(place) for place, _ in spots]
        after, verdict = rule.admit_all(windows, self._clock(), allowances, reservation)
        self._windows.update(zip((place for place, _ in spots), after, strict=True))
        return verdict

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters; never raises RedisAway."""
        now_s = self._clock()
        for spot in spots:
            known = self._window(spot.place)
            self._windows[spot.place] = rule.settle(known, now_s, self._allowance(spot), reservation, extra_tokens)

    def forget_levels(self) -> None:
        """Seed every window anew when it is next used: calls were counted elsewhere meanwhile."""
        self._windows = {place: msgspec.structs.replace(known, at_s=None) for place, known in self._windows.items()}

    def _allowance(self, spot: Spot) -> Allowance:
        return _allowance(spot.limits, self.live_workers)

    def _window(self, place: Place) -> Window:
        return self._windows.get(place, Window())


class RedisCounters:
    """Counts for the whole fleet, by the clock of the Redis server.

    A lost count begins again with what the ledger knows, and with this process's calls in flight; every other worker
    adds its own when it next asks. So a cap on calls in flight is passed by one call a worker at the most.
    """

    def __init__(self, scripts: Scripts, seed: Seed) -> None:
        self._scripts = scripts
        self._seeds = Seeds(seed)
        self._admit, self._settle, self._hold = map(Script.named, ("admit", "settle", "hold"))
        self._born: dict[Place, bytes] = {}
        """Which count of a window this process knows its calls to be in."""
        self._held: dict[Place, dict[str, float]] = {}
        """Calls in flight and when their slots end, by the loop's clock (s); of windows with a cap."""

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        """See Counters."""
        reason, delay, *born = await self._ask(spots, reservation, [UNSEEDED] * len(spots))
        if reason == b"unseeded":
            levels = [await self._seeds.levels(spot.place, _allowance(spot.limits)) for spot in spots]
            await self._compare(spots, born)
            reason, delay, *born = await self._ask(spots, reservation, [tuple(map(repr, each)) for each in levels])
        await self._compare(spots, born)
        if reason != b"admitted":
            return Refusal("concurrency" if reason == b"concurrency" else "rate_limit", float(delay))
        ends_at_s = asyncio.get_running_loop().time() + reservation.slot_ttl_s
        for place, limits in spots:
            if limits.concurrency is not None:
                self._held.setdefault(place, {})[reservation.id] = ends_at_s
        return ADMITTED

    async def _compare(self, spots: Spots, born: Sequence[bytes]) -> None:
        """Count this process's calls in flight again wherever the count is not the one that it knew."""
        for (place, _), now_born in zip(spots, born, strict=True):
            if self._born.get(place, now_born) != now_born:
                await self._hold_again(place)
            self._born[place] = now_born

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters."""
        rates = []
        for place, limits in spots:
            self._held.get(place, {}).pop(reservation.id, None)
            allowance = _allowance(limits)
            rates += [repr(rate.per_s) if rate else "" for rate in (allowance.requests, allowance.tokens)]
        names = [name for place, _ in spots for name in _names(place)]
        await self._scripts.run(self._settle, names, reservation.id, repr(extra_tokens), *rates)

    async def _ask(self, spots: Spots, reservation: Reservation, levels: Sequence[tuple[str, ...]]) -> Any:
        names = [models_key(key_text(*spots[0].place.key))]
        arguments = [
            reservation.id,
            str(reservation.tokens),
            repr(reservation.slot_ttl_s),
            str(int(reservation.is_urgent)),
        ]
        for (place, limits), begin in zip(spots, levels, strict=True):
            names += _names(place)
            arguments += (*_meters(limits), repr(_allowance(limits).spacing_s(reservation.tokens)))
            arguments += (model_text(place.model), *begin)
        return await self._scripts.run(self._admit, names, *arguments)

    async def _hold_again(self, place: Place) -> None:
        now_s = asyncio.get_running_loop().time()
        self._held[place] = {id_: end_s for id_, end_s in self._held.get(place, {}).items() if end_s > now_s}
        pairs = [part for id_, end_s in self._held[place].items() for part in (id_, repr(end_s - now_s))]
        if pairs:
            await self._scripts.run(self._hold, _names(place), *pairs)


@lru_cache(maxsize=1024)
def _names(place: Place) -> tuple[str, str]:
    text = key_text(*place.key)
    return limits_key(text, place.model), slots_key(text, place.model)


@lru_cache(maxsize=256)
def _meters(limits: KeyLimits) -> tuple[str, ...]:
    """What admit.lua wants of a window's limits first; `repr` gives every float back exactly."""
    allowance = _allowance(limits)
    rates = (allowance.requests, allowance.tokens)
    meters = [part for rate in rates for part in ((repr(rate.per_s), repr(rate.burst)) if rate else ("", ""))]
    return (*meters, "" if allowance.concurrency is None else str(allowance.concurrency))


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
        self._owed: dict[str, tuple[Spots, Reservation]] = {}
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

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        """See Counters."""
        if self._is_worth_asking():
            try:
                verdict = await self._shared.admit(spots, reservation)
            except RedisAway as error:
                # The script may have run although its reply was lost: its slots are given back later.
                self._owe(spots, reservation)
                self._lost(error)
            else:
                self._found()
                return verdict
        verdict = await self._local.admit(spots, reservation)
        if isinstance(verdict, Admitted):
            self._held_here.add(reservation.id)
        return verdict

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        """See Counters."""
        if reservation.id in self._held_here:
            self._held_here.discard(reservation.id)
            await self._local.settle(spots, reservation, extra_tokens)
            return
        try:
            if self.is_shared:
                await self._shared.settle(spots, reservation, extra_tokens)
                return
        except RedisAway as error:
            self._lost(error)
        self._owe(spots, reservation)

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

    def _owe(self, spots: Spots, reservation: Reservation) -> None:
        self._owed[reservation.id] = (spots, reservation)
        if len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]

    async def _give_back(self, owed: Mapping[str, tuple[Spots, Reservation]]) -> None:
        """Free the slots. The tokens are left as reserved: a correction that did arrive must not count twice."""
        try:
            await asyncio.gather(*(self._shared.settle(*held, 0.0) for held in owed.values()))
        except RedisAway as error:
            self._owed = {**owed, **self._owed}
            self._lost(error)
