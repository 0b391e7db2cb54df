"""Reads what the gates of the fleet keep in Redis: breakers, closings, refused keys and used limits. For people."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jobs.failures import FailureKind
from jobs.gatekeys import (
    KNOWN,
    REFUTED,
    Kind,
    breaker_key,
    key_text,
    limits_key,
    read_refuted,
    refuted_parts,
    slots_key,
    subject_name,
    subject_of,
    trouble_key,
)
from jobs.settings import KeyLimits, Provider
from routing import breaker as breaker_rule
from routing import limits as limits_rule
from routing.breaker import Breaker, Slot
from routing.limits import Allowance, Rate, Window
from routing.trouble import Trouble

TIMEOUT_S = 0.5
"""A Redis that has not answered by then counts as away: nobody waits long for a page about trouble."""
WHOLE_S = 2.0
"""The longest that a reading takes in all."""

Fields = Mapping[bytes, bytes]


class BreakerView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's or a deployment's breaker."""

    name: str
    """The provider, or the deployment (`maker/name@provider`)."""
    kind: Kind
    state: Literal["closed", "open", "half_open", "unknown"]
    """Half open: the next call is a probe, or one is out. Unknown: Redis is away."""
    opens_in_s: float = 0.0
    """Until a probe may go; 0 unless open."""
    tripped_s: float | None = None
    """How long ago it opened; None while closed."""
    trips: int = 0
    """Times opened without five quiet minutes between."""
    calls: int = 0
    """That ended in the last 30 s; while it is open: in the 30 s before it opened."""
    failures: int = 0


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's key as the fleet sees it."""

    provider: str
    key_index: int
    limits: KeyLimits
    closed_s: float = 0.0
    """Until it opens after a Retry-After; 0: open."""
    disabled_s: float = 0.0
    """Until it is tried again after the provider refused it; 0: in use, or its next call is the trial."""
    trouble: FailureKind | None = None
    """Why it was refused."""
    troubled_s: float | None = None
    """For how long."""
    requests_used_share: float | None = None
    """How full the meter is, 0..1; at 1 the next call waits for the refill. None: no such limit, or Redis is away."""
    tokens_used_share: float | None = None
    in_flight: int | None = None
    """Calls now; None: no cap, so nobody counts them, or Redis is away."""


class RefutedView(msgspec.Struct, frozen=True, kw_only=True):
    """A field of requests that a deployment answered with 400: it is left out there, and told, until it is tried again.

    `routing.dialects.doubts` says what teaches so.
    """

    deployment: str
    field: str
    code: str | None
    """The provider's word for it."""
    for_s: float
    """How long it has been known."""
    again_s: float
    """Until it is tried again."""


class Health(msgspec.Struct, frozen=True):
    """Everything at one moment."""

    breakers: tuple[BreakerView, ...]
    """Each configured provider's, and each of their deployments' that was called in the last hour."""
    keys: tuple[KeyView, ...]
    """Every configured key, in the settings' order."""
    is_known: bool
    """False: Redis is away, and the rest is what the settings say."""
    refuted: tuple[RefutedView, ...] = ()
    """Doubted facts that calls corrected, of any provider."""


class HealthReader:
    """`await HealthReader(url).read(settings.providers)`; one connection, short time-outs, never an error."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def read(self, providers: Mapping[str, Provider]) -> Health:
        """How these providers stand."""
        try:
            async with asyncio.timeout(WHOLE_S):
                return await self._read(providers)
        except (RedisError, OSError, TimeoutError, ValueError, KeyError):  # the last two: another version wrote it
            breakers = tuple(BreakerView(name=name, kind="provider", state="unknown") for name in providers)
            keys = [KeyView(provider=name, key_index=index, limits=limits) for name, index, limits in _keys(providers)]
            return Health(breakers, tuple(keys), is_known=False)

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._client.aclose()

    async def _read(self, providers: Mapping[str, Provider]) -> Health:
        keys = list(_keys(providers))
        asked: list[tuple[str, ...]] = [("TIME",), ("ZRANGE", KNOWN, "0", "-1")]
        for name, index, _ in keys:
            text = key_text(name, index)
            asked += [("HGETALL", limits_key(text)), ("HGETALL", trouble_key(text))]
            asked += [("ZRANGE", slots_key(text), "0", "-1", "WITHSCORES")]
        (seconds, micros), known, *replies = await self._ask(asked)
        now_s = int(seconds) + int(micros) / 1e6
        subjects = _subjects(providers, [raw.decode() for raw in known])
        *stored, corrected = await self._ask(
            [*(("HGETALL", breaker_key(subject)) for subject in subjects), ("HGETALL", REFUTED)]
        )
        found = zip(subjects.values(), map(breaker_of, stored), strict=True)
        breakers = [_breaker_view(name, kind, known, now_s) for (name, kind), known in found]
        views = [_key_view(key, replies[3 * place : 3 * place + 3], now_s) for place, key in enumerate(keys)]
        return Health(tuple(breakers), tuple(views), is_known=True, refuted=tuple(_refuted_views(corrected, now_s)))

    async def _ask(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()


def _refuted_views(fields: Fields, now_s: float) -> Iterator[RefutedView]:
    """What holds now, by deployment and field."""
    for text, raw in sorted(fields.items()):
        known, (deployment, field) = read_refuted(raw), refuted_parts(text.decode())
        if known is not None and known.until_s > now_s:
            for_s, again_s = max(0.0, now_s - known.since_s), known.until_s - now_s
            yield RefutedView(deployment=deployment, field=field, code=known.code, for_s=for_s, again_s=again_s)


def breaker_of(fields: Fields) -> Breaker:
    """The breaker in a hash of `workers/lua/breaker.lua`; an empty one is closed. Raises ValueError, KeyError."""
    if not fields:
        return Breaker()
    told = {name.decode(): value.decode() for name, value in fields.items()}
    parts = [part.split(":") for part in told["slots"].split(";") if part]
    return Breaker(
        slots=tuple(Slot(float(start), int(calls), int(failures)) for start, calls, failures in parts),
        consecutive=int(told["consecutive"]),
        is_tripped=told["tripped"] == "1",
        since_s=float(told["since"]),
        open_until_s=float(told["until"]),
        trips=int(told["trips"]),
        probe=told["probe"],
        probe_until_s=float(told["probe_until"]),
        probes=int(told["probes"]),
    )


def trouble_of(fields: Fields) -> Trouble | None:
    """The trouble in a hash of `workers/lua/trouble.lua`; None for an empty one. Raises ValueError, KeyError."""
    if not fields:
        return None
    told = {name.decode(): value.decode() for name, value in fields.items()}
    kind, strikes = FailureKind(told["kind"]), int(told["strikes"])
    return Trouble(kind, told["print"], strikes, float(told["since"]), float(told["until"]))


def window_of(fields: Fields) -> Window:
    """The window in a hash of `workers/lua/admit.lua`, without its slots. Raises ValueError."""
    told = {name.decode(): float(value) for name, value in fields.items()}
    return Window(
        at_s=told.get("at"),
        requests=told.get("requests", 0.0),
        tokens=told.get("tokens", 0.0),
        closed_until_s=told.get("closed", 0.0),
    )


def _keys(providers: Mapping[str, Provider]) -> Iterable[tuple[str, int, KeyLimits]]:
    for name, provider in providers.items():
        for index, key in enumerate(provider.keys):
            yield name, index, key.limits


def _subjects(providers: Mapping[str, Provider], known: Iterable[str]) -> dict[str, tuple[str, Kind]]:
    """Subject -> (name, kind) of every provider, then of their deployments that were called lately."""
    ends = tuple(f"@{name}" for name in providers)
    chosen: dict[str, tuple[str, Kind]] = {subject_of("provider", name): (name, "provider") for name in providers}
    for subject in sorted(known):
        kind, name = subject_name(subject)
        if kind == "deployment" and name.endswith(ends):
            chosen[subject] = (name, "deployment")
    return chosen


def _breaker_view(name: str, kind: Kind, known: Breaker, now_s: float) -> BreakerView:
    opens_in_s = max(0.0, known.open_until_s - now_s) if known.is_tripped else 0.0
    calls, failures = breaker_rule.recent(known, now_s)
    return BreakerView(
        name=name,
        kind=kind,
        state="open" if opens_in_s else "half_open" if known.is_tripped else "closed",
        opens_in_s=opens_in_s,
        tripped_s=max(0.0, now_s - known.since_s) if known.is_tripped else None,
        trips=known.trips if known.is_tripped else 0,
        calls=calls,
        failures=failures,
    )


def _key_view(key: tuple[str, int, KeyLimits], replies: list[Any], now_s: float) -> KeyView:
    (name, index, limits), (window, trouble, slots) = key, replies
    allowance, known = Allowance.of(limits), trouble_of(trouble)
    level = limits_rule.drained(window_of(window), now_s, allowance)
    return KeyView(
        provider=name,
        key_index=index,
        limits=limits,
        closed_s=max(0.0, level.closed_until_s - now_s),
        disabled_s=max(0.0, known.until_s - now_s) if known else 0.0,
        trouble=known.kind if known else None,
        troubled_s=max(0.0, now_s - known.since_s) if known else None,
        requests_used_share=_share(level.requests, allowance.requests),
        tokens_used_share=_share(level.tokens, allowance.tokens),
        in_flight=None if allowance.concurrency is None else sum(float(end_s) > now_s for end_s in slots[1::2]),
    )


def _share(level: float, rate: Rate | None) -> float | None:
    return None if rate is None else min(1.0, level / rate.burst)
