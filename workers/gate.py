"""The gate before every provider call: breakers, keys that work, and their limits. In, or told when to come back."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from jobs.failures import FailureKind
from jobs.settings import KeyLimits, Provider
from routing import breaker as health
from routing.breaker import Breaker, Pass
from routing.catalog import Deployment
from routing.limits import Admitted, Allowance, Refusal, Reservation, correction
from workers.counters import Counters, KeyName

SLOT_GRACE_S = 30.0
"""A concurrency slot (and a probe's lease) outlives the call's own time-out by this."""
MAX_CLOSE_S = 120.0
"""A longer Retry-After is cut to this; who comes back then is told again."""
DEFAULT_CLOSE_S = 1.0
"""A rate limit that names no time."""
DISABLE_S = 60.0
"""A key that was refused, or has no money, is left alone this long; doubles each time ..."""
MAX_DISABLE_S = 900.0
"""... up to this."""
DELAY_SPREAD = 0.2
"""Delays are stretched by up to this share, so that those who wait do not come back in one moment."""
KEY_FAILURES = frozenset({FailureKind.BAD_KEY, FailureKind.NO_CREDIT})
UNLIMITED = KeyLimits()


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that was let in. Give it back with `Gate.leave`, whatever happened, once."""

    provider: str
    key_index: int
    secret: str | None = field(repr=False)
    """None: the provider wants no key."""
    deployment: str
    entered_s: float
    provider_pass: Pass
    deployment_pass: Pass
    reservation: Reservation | None = None
    """None: the key has no limits."""


@dataclass(slots=True)
class Key:
    """One key of a provider, as this process knows it."""

    name: KeyName
    limits: KeyLimits
    secret: str | None = field(repr=False)
    is_missing: bool
    """The settings name an environment variable that is not set."""
    closed_until_s: float = 0.0
    disabled_until_s: float = 0.0
    strikes: int = 0
    """Times disabled without a success between."""
    trouble: FailureKind | None = None


class KeyStatus(msgspec.Struct, frozen=True):
    """A key for the status page; times count from now (s), 0 when it is open."""

    provider: str
    key_index: int
    is_missing: bool
    disabled_s: float
    trouble: FailureKind | None
    closed_s: float


class BreakerStatus(msgspec.Struct, frozen=True):
    """A breaker that is open, or half open with 0 s until a probe may go."""

    name: str
    """The provider, or the deployment (`maker/name@provider`)."""
    probe_in_s: float
    trips: int


class Gate:
    """Lets calls in, one by one, and learns from how they ended. Belongs to one event loop.

    Limits are kept by `counters`, for the whole fleet. Breakers, disabled keys and the closings of keys without limits
    are this process's own opinion in this release: every worker finds out for itself, at the price of a few calls.
    A key without limits never asks Redis: entering and leaving are a few microseconds of arithmetic.

    `secrets` gives the value of an environment variable (None when unset); `clock` is monotonic, in seconds; `chance`
    draws 0..1. Raises ValueError for limits that let nothing through.

        entry = await gate.enter(deployment, tokens=900, timeout_s=120)
        if isinstance(entry, Refusal): ...  # defer by entry.delay_s
        ...
        await gate.leave(entry, failure=None, tokens_used=731, retry_after_s=None)
    """

    def __init__(
        self,
        counters: Counters,
        providers: Mapping[str, Provider],
        secrets: Callable[[str], str | None],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._chance = chance
        self._keys = {name: _keys(name, provider, secrets) for name, provider in providers.items()}
        self._breakers: dict[str, Breaker] = {}
        self._orphans: set[asyncio.Task[None]] = set()

    async def enter(
        self, deployment: Deployment, tokens: int, timeout_s: float = 120.0, *, is_urgent: bool = False
    ) -> Entry | Refusal:
        """Let a call in with the first key of its provider that has room, or say when to come back.

        `tokens` is the estimate of input and output together, `timeout_s` the call's total time-out. An urgent call
        is told the first moment with room, others queue behind those refused before them. Raises KeyError for a
        provider that the settings do not have.
        """
        keys = self._keys[deployment.provider]
        passes = self._pass_breakers(deployment, timeout_s + SLOT_GRACE_S)
        if isinstance(passes, Refusal):
            return passes
        refused: list[Refusal] = []
        entry = None
        try:
            for key in keys:
                reservation = None
                verdict: Admitted | Refusal | None = self._held_back(key)
                if verdict is None and key.limits != UNLIMITED:
                    reservation = Reservation(uuid.uuid4().hex, tokens, timeout_s + SLOT_GRACE_S, is_urgent)
                    verdict = await self._reserve(key, reservation)
                if isinstance(verdict, Refusal):
                    refused.append(verdict)
                    continue
                entry = _entry(key, deployment, self._clock(), passes, reservation)
                return entry
        finally:
            if entry is None:
                self._excuse(deployment, passes)
        return min(refused, key=lambda refusal: refusal.delay_s, default=Refusal("key_disabled", MAX_DISABLE_S))

    async def leave(
        self, entry: Entry, failure: FailureKind | None, tokens_used: int | None, retry_after_s: float | None
    ) -> None:
        """Give an entry back with how the call ended.

        `failure` None means that a usable answer came: a call that was cut by us or never made is CANCELLED, which is
        evidence of nothing. `tokens_used` None leaves the estimate standing.
        """
        now_s = self._clock()
        for name, let_in in ((entry.provider, entry.provider_pass), (entry.deployment, entry.deployment_pass)):
            known = self._breakers.get(name, CLOSED)
            self._breakers[name] = health.record(known, now_s, failure, self._chance(), let_in)
        key = self._keys[entry.provider][entry.key_index]
        self._learn(key, failure, now_s)
        close_s = _close_s(failure, retry_after_s)
        if close_s:
            key.closed_until_s = max(key.closed_until_s, now_s + close_s)
        if entry.reservation is not None:
            extra = correction(entry.reservation, tokens_used, now_s - entry.entered_s)
            await self._counters.settle(key.name, key.limits, entry.reservation, extra)
            if close_s:
                await self._counters.close_for(key.name, close_s)

    def keys(self) -> list[KeyStatus]:
        """Every key, for the status page."""
        now_s = self._clock()
        return [
            KeyStatus(
                provider=key.name.provider,
                key_index=key.name.key_index,
                is_missing=key.is_missing,
                disabled_s=max(0.0, key.disabled_until_s - now_s),
                trouble=key.trouble,
                closed_s=max(0.0, key.closed_until_s - now_s),
            )
            for keys in self._keys.values()
            for key in keys
        ]

    def breakers(self) -> list[BreakerStatus]:
        """Every breaker of this process that is open or half open."""
        now_s = self._clock()
        return [
            BreakerStatus(name, max(0.0, known.open_until_s - now_s), known.trips)
            for name, known in self._breakers.items()
            if known.is_tripped
        ]

    def _pass_breakers(self, deployment: Deployment, lease_s: float) -> tuple[Pass, Pass] | Refusal:
        """Both breakers let it in, or neither is touched: a probe's lease is not taken for a call that is not made."""
        now_s = self._clock()
        provider, first = health.admit(self._breakers.get(deployment.provider, CLOSED), now_s, lease_s)
        if isinstance(first, Refusal):
            return self._spread(first)
        own, second = health.admit(self._breakers.get(deployment.id, CLOSED), now_s, lease_s)
        if isinstance(second, Refusal):
            return self._spread(second)
        self._breakers[deployment.provider], self._breakers[deployment.id] = provider, own
        return first, second

    def _excuse(self, deployment: Deployment, passes: tuple[Pass, Pass]) -> None:
        for name, let_in in zip((deployment.provider, deployment.id), passes, strict=True):
            self._breakers[name] = health.excuse(self._breakers[name], let_in)

    def _held_back(self, key: Key) -> Refusal | None:
        """What this process knows against the key, without asking anybody."""
        if key.is_missing:
            return Refusal("key_disabled", MAX_DISABLE_S)
        now_s = self._clock()
        if now_s < key.disabled_until_s:
            return self._spread(Refusal("key_disabled", key.disabled_until_s - now_s))
        if now_s < key.closed_until_s:
            return self._spread(Refusal("rate_limit", key.closed_until_s - now_s))
        return None

    def _spread(self, refusal: Refusal) -> Refusal:
        return Refusal(refusal.reason, refusal.delay_s * (1.0 + DELAY_SPREAD * self._chance()))

    async def _reserve(self, key: Key, reservation: Reservation) -> Admitted | Refusal:
        """Ask the counters. A caller cancelled meanwhile leaves no slot behind."""
        asking = asyncio.ensure_future(self._counters.admit(key.name, key.limits, reservation))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            orphan = asyncio.ensure_future(self._give_back(key, asking, reservation))
            self._orphans.add(orphan)
            orphan.add_done_callback(self._orphans.discard)
            raise

    async def _give_back(
        self, key: Key, asking: "asyncio.Future[Admitted | Refusal]", reservation: Reservation
    ) -> None:
        if isinstance(await asking, Admitted):
            await self._counters.settle(key.name, key.limits, reservation, correction(reservation, 0, 0.0))

    def _learn(self, key: Key, failure: FailureKind | None, now_s: float) -> None:
        """A key that the provider refuses is left alone, for longer each time; a success clears it."""
        if failure is None:
            key.strikes, key.trouble, key.disabled_until_s = 0, None, 0.0
        elif failure in KEY_FAILURES and now_s >= key.disabled_until_s:
            # Calls that were on their way when the first one failed say nothing new.
            key.strikes, key.trouble = key.strikes + 1, failure
            key.disabled_until_s = now_s + disable_time_s(key.strikes)


CLOSED = Breaker()


def disable_time_s(strikes: int) -> float:
    """60, 120, 240, 480, 900, 900, ... seconds."""
    return min(MAX_DISABLE_S, DISABLE_S * 2.0 ** min(strikes - 1, 10))


def _close_s(failure: FailureKind | None, retry_after_s: float | None) -> float:
    """How long the key is closed after a call; 0 when it is not."""
    if failure is not FailureKind.RATE_LIMITED:
        return 0.0
    if retry_after_s is None or not retry_after_s > 0:  # a NaN names no time either
        return DEFAULT_CLOSE_S
    return min(retry_after_s, MAX_CLOSE_S)


def _keys(provider_name: str, provider: Provider, secrets: Callable[[str], str | None]) -> tuple[Key, ...]:
    keys = []
    for index, key in enumerate(provider.keys):
        Allowance.of(key.limits)  # a limit that lets nothing through fails here, at start
        secret = secrets(key.env) if key.env is not None else None
        is_missing = key.env is not None and not secret
        keys.append(Key(KeyName(provider_name, index), key.limits, secret, is_missing=is_missing))
    return tuple(keys)


def _entry(
    key: Key, deployment: Deployment, now_s: float, passes: tuple[Pass, Pass], reservation: Reservation | None
) -> Entry:
    return Entry(
        provider=key.name.provider,
        key_index=key.name.key_index,
        secret=key.secret,
        deployment=deployment.id,
        entered_s=now_s,
        provider_pass=passes[0],
        deployment_pass=passes[1],
        reservation=reservation,
    )
