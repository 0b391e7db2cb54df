"""Reads what the gates of the fleet keep in Redis: breakers, closings, refused keys and used limits. For people."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jobs.failures import FailureKind
from jobs.gatekeys import (
    KNOWN,
    WHOLE,
    ClosingNotice,
    Kind,
    breaker_key,
    closings_key,
    key_text,
    limits_key,
    model_name,
    model_text,
    models_key,
    read_notice,
    slots_key,
    subject_name,
    subject_of,
    trouble_key,
)
from jobs.settings import KeyLimits, Provider, ProviderKey
from routing import breaker as breaker_rule
from routing import limits as limits_rule
from routing.breaker import Breaker, Slot
from routing.closing import KEEP_S
from routing.limits import NO_LIMITS, Allowance, Rate, Window, limits_of
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


class ClosingView(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a model, or a whole key, closed."""

    why: FailureKind | None = None
    """What the provider said: rate_limited, bad_key, no_credit. None: it is open."""
    closed_s: float = 0.0
    """Until the end that the provider named."""
    tried_s: float = 0.0
    """Until one call tries it; 0 of one that is closed: its next call does, or is on its way."""
    since_s: float | None = None
    """How long it has been closed."""


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """What was used of the limits of a key, or of one model of it."""

    limits: KeyLimits
    requests_used_share: float | None = None
    """How full the meter is, 0..1; at 1 the next call waits for the refill. None: no such limit, or Redis is away."""
    tokens_used_share: float | None = None
    in_flight: int | None = None
    """Calls now; None: no cap, so nobody counts them, or Redis is away."""


class ModelView(WindowView, frozen=True, kw_only=True):
    """A model of a key that is closed now, or was called lately under limits of its own."""

    model: str
    """Its name at the provider."""
    closing: ClosingView = ClosingView()


class KeyView(WindowView, frozen=True, kw_only=True):
    """A provider's key as the fleet sees it."""

    provider: str
    key_index: int
    closing: ClosingView = ClosingView()
    """Of all its models together."""
    disabled_s: float = 0.0
    """Until it is tried again after the provider refused it; 0: in use, or its next call is the trial."""
    trouble: FailureKind | None = None
    """Why it was refused."""
    troubled_s: float | None = None
    """For how long."""
    models: tuple[ModelView, ...] = ()
    """Those of which something is known, by name."""


class Health(msgspec.Struct, frozen=True):
    """Everything at one moment."""

    breakers: tuple[BreakerView, ...]
    """Each configured provider's, and each of their deployments' that was called in the last hour."""
    keys: tuple[KeyView, ...]
    """Every configured key, in the settings' order."""
    is_known: bool
    """False: Redis is away, and the rest is what the settings say."""


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
            keys = [KeyView(provider=name, key_index=index, limits=key.limits) for name, index, key in _keys(providers)]
            return Health(breakers, tuple(keys), is_known=False)

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._client.aclose()

    async def _read(self, providers: Mapping[str, Provider]) -> Health:
        keys = [_Asked(*key) for key in _keys(providers)]
        asked: list[tuple[str, ...]] = [("TIME",), ("ZRANGE", KNOWN, "0", "-1")]
        asked += [command for key in keys for command in key.first]
        (seconds, micros), known, *replies = await self._ask(asked)
        now_s = int(seconds) + int(micros) / 1e6
        for key, heard in zip(keys, _parts(replies, [len(key.first) for key in keys]), strict=True):
            key.hear(heard)
        subjects = _subjects(providers, [raw.decode() for raw in known])
        asked = [("HGETALL", breaker_key(subject)) for subject in subjects]
        asked += [command for key in keys for command in key.second]
        stored, *windows = _parts(await self._ask(asked), [len(subjects), *(len(key.second) for key in keys)])
        found = zip(subjects.values(), map(breaker_of, stored), strict=True)
        breakers = [_breaker_view(name, kind, each, now_s) for (name, kind), each in found]
        views = [key.view(heard, now_s) for key, heard in zip(keys, windows, strict=True)]
        return Health(tuple(breakers), tuple(views), is_known=True)

    async def _ask(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()


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
    )


class _Asked:
    """One key and what is asked of it, in two rounds: which of its models are known, then their windows."""

    def __init__(self, provider: str, index: int, key: ProviderKey) -> None:
        self._provider, self._index, self._key = provider, index, key
        self._text = text = key_text(provider, index)
        self.first = [("HGETALL", trouble_key(text)), ("HGETALL", closings_key(text)), ("SMEMBERS", models_key(text))]
        self._trouble: Trouble | None = None
        self._closings: dict[str, ClosingNotice] = {}
        self._models: list[str] = []

    def hear(self, replies: list[Any]) -> None:
        """What came of `first`."""
        trouble, closings, counted = replies
        self._trouble = trouble_of(trouble)
        notices = map(read_notice, closings.values())
        self._closings = {each.model: each for each in notices if isinstance(each, ClosingNotice) and each.kind}
        texts = {raw.decode() for raw in counted} | (self._closings.keys() - {WHOLE})
        self._models = sorted(map(model_name, texts))

    @property
    def second(self) -> list[tuple[str, ...]]:
        """The windows of the key and of its models."""
        asked: list[tuple[str, ...]] = []
        for model in ("", *self._models):
            asked += [("HGETALL", limits_key(self._text, model))]
            asked += [("ZRANGE", slots_key(self._text, model), "0", "-1", "WITHSCORES")]
        return asked

    def view(self, replies: list[Any], now_s: float) -> KeyView:
        """What came of `second`, with the rest."""
        whole, *windows = _parts(replies, [2] * (1 + len(self._models)))
        models = []
        for model, found in zip(self._models, windows, strict=True):
            used = _used(limits_of(self._key, model), found, now_s)
            models.append(ModelView(model=model, closing=self._closing(model, now_s), **used))
        trouble = self._trouble
        return KeyView(
            provider=self._provider,
            key_index=self._index,
            closing=self._closing("", now_s),
            disabled_s=max(0.0, trouble.until_s - now_s) if trouble else 0.0,
            trouble=trouble.kind if trouble else None,
            troubled_s=max(0.0, now_s - trouble.since_s) if trouble else None,
            models=tuple(view for view in models if view.closing.why or view.limits != NO_LIMITS),
            **_used(self._key.limits, whole, now_s),
        )

    def _closing(self, model: str, now_s: float) -> ClosingView:
        found = self._closings.get(model_text(model))
        if found is None or now_s >= found.until_s + KEEP_S:
            return ClosingView()
        closed_s, tried_s = max(0.0, found.until_s - now_s), max(0.0, found.try_at_s - now_s)
        return ClosingView(why=found.kind, closed_s=closed_s, tried_s=tried_s, since_s=max(0.0, now_s - found.since_s))


def _parts(replies: list[Any], lengths: Iterable[int]) -> list[list[Any]]:
    """The replies in groups of these lengths."""
    rest = iter(replies)
    return [list(itertools.islice(rest, length)) for length in lengths]


def _keys(providers: Mapping[str, Provider]) -> Iterable[tuple[str, int, ProviderKey]]:
    for name, provider in providers.items():
        for index, key in enumerate(provider.keys):
            yield name, index, key


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


def _used(limits: KeyLimits, found: list[Any], now_s: float) -> dict[str, Any]:
    """The fields of a WindowView; `found`: its hash, and its calls in flight."""
    window, slots = found
    allowance = Allowance.of(limits)
    level = limits_rule.drained(window_of(window), now_s, allowance)
    return {
        "limits": limits,
        "requests_used_share": _share(level.requests, allowance.requests),
        "tokens_used_share": _share(level.tokens, allowance.tokens),
        "in_flight": None if allowance.concurrency is None else sum(float(end_s) > now_s for end_s in slots[1::2]),
    }


def _share(level: float, rate: Rate | None) -> float | None:
    return None if rate is None else min(1.0, level / rate.burst)
