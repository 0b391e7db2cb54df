"""The gate before every provider call: breakers, keys that work, and their limits. In, or told when to come back."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobs.failures import Failure
from jobs.settings import KeyLimits, Provider, ProviderKey
from routing.catalog import Deployment
from routing.closing import Reach, reach
from routing.limit_facts import limits_by
from routing.limits import NO_LIMITS, Admitted, Allowance, Refusal, Reservation, correction, limits_of
from routing.trouble import MAX_DISABLE_S, fingerprint
from workers.counters import Counters, KeyName, Place, Spot, Spots
from workers.health import Call, Health, LocalHealth, Passes
from workers.keys import OPEN, Knock
from workers.trials import Trials

SLOT_GRACE_S = 30.0
"""A concurrency slot (and a probe's lease) outlives the call's own time-out by this."""
DELAY_SPREAD = 0.2
"""Delays are stretched by up to this share, so that those who wait do not come back in one moment."""
KEY_MISSING = Refusal("key_disabled", MAX_DISABLE_S)


class Ticket(NamedTuple):
    """How a key and its model let a call in."""

    reservation: Reservation | None = None
    """None: neither has limits."""
    knock: Knock = OPEN
    is_trial: bool = False
    """The others of this moment wait for how it ends."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that was let in. Give it back with `Gate.leave`, whatever happened, once."""

    provider: str
    key_index: int
    secret: str | None = field(repr=False)
    """None: the provider wants no key."""
    deployment: str
    upstream: str
    """The model's name at the provider."""
    entered_s: float
    passes: Passes
    ticket: Ticket

    @property
    def reservation(self) -> Reservation | None:
        """What it holds of limits; None: nothing."""
        return self.ticket.reservation


@dataclass(slots=True)
class Key:
    """One key of a provider, as this process knows it."""

    name: KeyName
    settings: ProviderKey
    secret: str | None = field(repr=False)
    is_missing: bool
    """The settings name an environment variable that is not set."""
    counts_by_key: bool
    """Its provider counts all models of the key together."""


class Route(NamedTuple):
    """One model with one key."""

    key: Key
    place: Place
    tried: Place
    """What a call there tries: the model, or the whole key where the provider counts that."""
    spots: Spots
    """Its windows; none: no limits."""


class Wanted(NamedTuple):
    """What a call asks of limits."""

    tokens: int
    lease_s: float
    is_urgent: bool


class Gate:
    """Lets calls in, one by one, and learns from how they ended. Belongs to one event loop.

    Limits are kept by `counters`; breakers, disabled keys and closings by `health` (by default this process's own
    opinion): a fleet shares both. A healthy call with a key without limits never asks Redis: entering and leaving are
    a few microseconds of arithmetic.

    `secrets` gives the value of an environment variable (None when unset); `clock` is monotonic, in seconds; `chance`
    draws 0..1. Raises ValueError for limits that let nothing through.

        entry = await gate.enter(deployment, tokens=900, timeout_s=120)
        if isinstance(entry, Refusal): ...  # defer by entry.delay_s
        ...
        await gate.leave(entry, failure=None, tokens_used=731)
    """

    def __init__(
        self,
        counters: Counters,
        providers: Mapping[str, Provider],
        secrets: Callable[[str], str | None],
        clock: Callable[[], float],
        chance: Callable[[], float],
        health: Health | None = None,
    ) -> None:
        self._counters = counters
        self._health = health or LocalHealth(clock, chance)
        self._clock = clock
        self._chance = chance
        self._keys = {name: _keys(name, provider, secrets) for name, provider in providers.items()}
        self._routes: dict[tuple[str, str], tuple[Route, ...]] = {}
        """By provider and model: made when first asked, so there are as many as models in use."""
        self.trials = Trials(clock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def enter(
        self, deployment: Deployment, tokens: int, timeout_s: float = 120.0, *, is_urgent: bool = False
    ) -> Entry | Refusal:
        """Let a call in with the first key of its provider that has room, or say when to come back.

        `tokens` is the estimate of input and output together, `timeout_s` the call's total time-out. An urgent call
        is told the first moment with room, others queue behind those refused before them. Raises KeyError for a
        provider that the settings do not have.
        """
        routes = self._routes_to(deployment.provider, deployment.upstream)
        call = Call(deployment.provider, deployment.id)
        wanted = Wanted(tokens, timeout_s + SLOT_GRACE_S, is_urgent)
        passes = await self._health.admit(call, wanted.lease_s)
        if isinstance(passes, Refusal):
            return self._spread(passes)
        refused: list[Refusal] = []
        entry = None
        try:
            for route in routes:
                ticket = await self._admit(route, wanted)
                if isinstance(ticket, Refusal):
                    refused.append(ticket)
                    continue
                entry = _entry(route.key, deployment, self._clock(), passes, ticket)
                return entry
        finally:
            if entry is None:
                self._health.excuse(call, passes)
        return min(refused, key=lambda refusal: refusal.delay_s, default=KEY_MISSING)

    async def leave(self, entry: Entry, failure: Failure | None, tokens_used: int | None) -> None:
        """Give an entry back with how the call ended.

        `failure` None means that a usable answer came: a call that was cut by us or never made is CANCELLED, which is
        evidence of nothing. `tokens_used` None leaves the estimate standing.
        """
        route = self._routes_to(entry.provider, entry.upstream)[entry.key_index]
        kind = failure.kind if failure else None
        self._health.record(Call(entry.provider, entry.deployment), entry.passes, kind)
        closes = reach(failure, counts_by_key=route.key.counts_by_key)
        telling = self._health.keys.record(route.place, entry.ticket.knock, failure, closes)
        self.trials.heard(route.tried, kind, is_closed=closes is not Reach.NOTHING)
        if entry.ticket.is_trial:
            self.trials.end(route.tried)
        if entry.reservation is not None:
            if telling is not None:
                await telling  # before the slot is free: whoever takes it must know
            extra = correction(entry.reservation, tokens_used, self._clock() - entry.entered_s)
            await self._counters.settle(route.spots, entry.reservation, extra)

    async def _admit(self, route: Route, wanted: Wanted) -> Ticket | Refusal:
        """Let a call in with one key, or say what is in the way; refused or cut, it holds nothing."""
        keys, tried = self._health.keys, route.tried
        if route.key.is_missing:
            return KEY_MISSING
        if (refusal := keys.held_back(route.place)) is not None:
            return self._spread(refusal)
        is_trial = not self.trials.is_trusted(tried) and await self.trials.turn(tried)
        found: Ticket | Refusal | None = None
        try:
            found = await self._knock(route, wanted, is_trial=is_trial)
            return found
        finally:
            if is_trial and not isinstance(found, Ticket):
                self.trials.end(tried)

    async def _knock(self, route: Route, wanted: Wanted, *, is_trial: bool) -> Ticket | Refusal:
        """What is known of the key, and then its limits."""
        keys = self._health.keys
        refusal = keys.held_back(route.place)  # once more: the call that tried may have found out
        knock = refusal or await keys.admit(route.place, wanted.lease_s)
        if isinstance(knock, Refusal):
            return self._spread(knock)
        if not route.spots:
            return Ticket(None, knock, is_trial)
        reservation = Reservation(uuid.uuid4().hex, wanted.tokens, wanted.lease_s, wanted.is_urgent)
        verdict: Admitted | Refusal | None = None
        try:
            verdict = await self._reserve(route, reservation)
            if isinstance(verdict, Admitted) and (refusal := keys.held_back(route.place)) is not None:
                self._spawn(self._settle_unused(route, reservation))  # closed while the counters were asked
                verdict = self._spread(refusal)
        finally:
            if not isinstance(verdict, Admitted):
                keys.excuse(route.place, knock)
        return verdict if isinstance(verdict, Refusal) else Ticket(reservation, knock, is_trial)

    def _spread(self, refusal: Refusal) -> Refusal:
        return Refusal(refusal.reason, refusal.delay_s * (1.0 + DELAY_SPREAD * self._chance()))

    async def _reserve(self, route: Route, reservation: Reservation) -> Admitted | Refusal:
        """Ask the counters. A caller cancelled meanwhile leaves no slot behind."""
        asking = asyncio.ensure_future(self._counters.admit(route.spots, reservation))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._spawn(self._give_back(route, asking, reservation))
            raise

    async def _give_back(
        self, route: Route, asking: "asyncio.Future[Admitted | Refusal]", reservation: Reservation
    ) -> None:
        if isinstance(await asking, Admitted):
            await self._settle_unused(route, reservation)

    async def _settle_unused(self, route: Route, reservation: Reservation) -> None:
        await self._counters.settle(route.spots, reservation, correction(reservation, 0, 0.0))

    def _routes_to(self, provider: str, upstream: str) -> tuple[Route, ...]:
        found = self._routes.get((provider, upstream))
        if found is None:
            found = tuple(_route(key, upstream) for key in self._keys[provider])
            self._routes[provider, upstream] = found
        return found

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def fingerprints(providers: Mapping[str, Provider], secrets: Callable[[str], str | None]) -> dict[KeyName, str]:
    """Every configured key with what tells its secret from another one."""
    keys = [key for name, provider in providers.items() for key in _keys(name, provider, secrets)]
    return {key.name: fingerprint(key.secret) for key in keys}


def _keys(provider_name: str, provider: Provider, secrets: Callable[[str], str | None]) -> tuple[Key, ...]:
    keys = []
    counts_by_key = limits_by(provider_name, provider) == "key"
    for index, key in enumerate(provider.keys):
        for limits in (key.limits, *key.model_limits.values()):
            Allowance.of(limits)  # a limit that lets nothing through fails here, at start
        secret = secrets(key.env) if key.env is not None else None
        is_missing = key.env is not None and not secret
        name = KeyName(provider_name, index)
        keys.append(Key(name, key, secret, is_missing=is_missing, counts_by_key=counts_by_key))
    return tuple(keys)


def _route(key: Key, upstream: str) -> Route:
    whole, place = Place(key.name), Place(key.name, upstream)
    limits: tuple[tuple[Place, KeyLimits], ...] = (
        (whole, key.settings.limits),
        (place, limits_of(key.settings, upstream)),
    )
    spots = tuple(Spot(at, each) for at, each in limits if each != NO_LIMITS)
    return Route(key, place, whole if key.counts_by_key else place, spots)


def _entry(key: Key, deployment: Deployment, now_s: float, passes: Passes, ticket: Ticket) -> Entry:
    return Entry(
        provider=key.name.provider,
        key_index=key.name.key_index,
        secret=key.secret,
        deployment=deployment.id,
        upstream=deployment.upstream,
        entered_s=now_s,
        passes=passes,
        ticket=ticket,
    )
