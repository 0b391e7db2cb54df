"""The gate before every provider call: breakers, keys that work, and their limits. In, or told when to come back."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.failures import FailureKind
from jobs.settings import KeyLimits, Provider
from routing.catalog import Deployment
from routing.limits import Admitted, Allowance, Refusal, Reservation, correction
from routing.trouble import MAX_DISABLE_S, fingerprint
from workers.counters import Counters, KeyName
from workers.health import Call, Health, LocalHealth, Passes

SLOT_GRACE_S = 30.0
"""A concurrency slot (and a probe's lease) outlives the call's own time-out by this."""
MAX_CLOSE_S = 120.0
"""A longer Retry-After is cut to this; who comes back then is told again."""
DEFAULT_CLOSE_S = 1.0
"""A rate limit that names no time."""
DELAY_SPREAD = 0.2
"""Delays are stretched by up to this share, so that those who wait do not come back in one moment."""
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
    passes: Passes
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
        await gate.leave(entry, failure=None, tokens_used=731, retry_after_s=None)
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
        self._tasks: set[asyncio.Task[None]] = set()

    async def enter(
        self, deployment: Deployment, tokens: int, timeout_s: float = 120.0, *, is_urgent: bool = False
    ) -> Entry | Refusal:
        """Let a call in with the first key of its provider that has room, or say when to come back.

        `tokens` is the estimate of input and output together, `timeout_s` the call's total time-out. An urgent call
        is told the first moment with room, others queue behind those refused before them. Raises KeyError for a
        provider that the settings do not have.
        """
        keys = self._keys[deployment.provider]
        call = Call(deployment.provider, deployment.id)
        passes = await self._health.admit(call, timeout_s + SLOT_GRACE_S)
        if isinstance(passes, Refusal):
            return self._spread(passes)
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
                self._health.excuse(call, passes)
        return min(refused, key=lambda refusal: refusal.delay_s, default=Refusal("key_disabled", MAX_DISABLE_S))

    async def leave(
        self, entry: Entry, failure: FailureKind | None, tokens_used: int | None, retry_after_s: float | None
    ) -> None:
        """Give an entry back with how the call ended.

        `failure` None means that a usable answer came: a call that was cut by us or never made is CANCELLED, which is
        evidence of nothing. `tokens_used` None leaves the estimate standing.
        """
        key = self._keys[entry.provider][entry.key_index]
        self._health.record(Call(entry.provider, entry.deployment), entry.passes, failure)
        self._health.judge_key(key.name, failure)
        close_s = _close_s(failure, retry_after_s)
        if close_s:
            self._health.close(key.name, close_s)
            telling = self._spawn(self._counters.close_for(key.name, close_s))
            if entry.reservation is not None:
                await telling  # before the slot is free: nobody may slip in between
        if entry.reservation is not None:
            extra = correction(entry.reservation, tokens_used, self._clock() - entry.entered_s)
            await self._counters.settle(key.name, key.limits, entry.reservation, extra)

    def _held_back(self, key: Key) -> Refusal | None:
        """What is known against the key, without asking anybody."""
        if key.is_missing:
            return Refusal("key_disabled", MAX_DISABLE_S)
        refusal = self._health.held_back(key.name)
        return refusal and self._spread(refusal)

    def _spread(self, refusal: Refusal) -> Refusal:
        return Refusal(refusal.reason, refusal.delay_s * (1.0 + DELAY_SPREAD * self._chance()))

    async def _reserve(self, key: Key, reservation: Reservation) -> Admitted | Refusal:
        """Ask the counters. A caller cancelled meanwhile leaves no slot behind."""
        asking = asyncio.ensure_future(self._counters.admit(key.name, key.limits, reservation))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._spawn(self._give_back(key, asking, reservation))
            raise

    async def _give_back(
        self, key: Key, asking: "asyncio.Future[Admitted | Refusal]", reservation: Reservation
    ) -> None:
        if isinstance(await asking, Admitted):
            await self._counters.settle(key.name, key.limits, reservation, correction(reservation, 0, 0.0))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def fingerprints(providers: Mapping[str, Provider], secrets: Callable[[str], str | None]) -> dict[KeyName, str]:
    """Every configured key with what tells its secret from another one."""
    keys = [key for name, provider in providers.items() for key in _keys(name, provider, secrets)]
    return {key.name: fingerprint(key.secret) for key in keys}


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


def _entry(key: Key, deployment: Deployment, now_s: float, passes: Passes, reservation: Reservation | None) -> Entry:
    return Entry(
        provider=key.name.provider,
        key_index=key.name.key_index,
        secret=key.secret,
        deployment=deployment.id,
        entered_s=now_s,
        passes=passes,
        reservation=reservation,
    )
