"""The shapes of what GET /v1/providers answers; durations count from the moment of the answer."""

from typing import Literal

import msgspec

from jobs.failures import FailureKind


class BreakerShape(msgspec.Struct, frozen=True):
    """A breaker as the whole fleet sees it."""

    state: Literal["closed", "open", "half_open", "unknown"]
    """Half open: the next call is a probe, or one is out. Unknown: Redis is away."""
    opens_in_s: float
    """Until a probe may go; 0 unless open."""
    tripped_for_s: float | None
    """How long it has been open or half open; null while closed."""
    trips: int
    """Times opened without five quiet minutes between; each doubles the time, from 15 s to 5 min."""
    calls: int
    """Ended in the last 30 s; while it is open: in the 30 s before it opened."""
    failures: int


class DeploymentShape(msgspec.Struct, frozen=True):
    """A model at this provider."""

    id: str
    """`maker/name@provider`."""
    breaker: BreakerShape


class LimitsShape(msgspec.Struct, frozen=True):
    """What the settings allow one key; null is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None


class ClosingShape(msgspec.Struct, frozen=True):
    """Why nobody calls a model, or any model of a key."""

    why: FailureKind
    """What the provider said: rate_limited (429), bad_key or no_credit."""
    closed_s: float
    """Until the end that the provider named (Retry-After, a reset)."""
    tried_s: float
    """Until one call tries it: at that end, and every 15 minutes before. 0: its next call does, or is on its way."""
    closed_for_s: float
    """How long it has been closed."""


class ModelShape(msgspec.Struct, frozen=True):
    """A model of a key that is closed now, or was called lately under limits of its own."""

    model: str
    """Its name at the provider."""
    closing: ClosingShape | None
    """Null: open."""
    limits: LimitsShape
    requests_used_share: float | None
    """How full the meter of the minute is; at 1 the next call waits. Null: no such limit, or Redis is away."""
    tokens_used_share: float | None
    in_flight: int | None
    """Calls now, where concurrency is limited."""


class KeyShape(msgspec.Struct, frozen=True):
    """A key of the provider, by its place in the settings; never its value."""

    index: int
    env: str | None
    """The environment variable that holds it; null: the provider wants none."""
    is_set: bool
    """Whether the variable is set for this API process."""
    limits: LimitsShape
    """Of all its models together."""
    model_limits: dict[str, LimitsShape]
    """Of each model by itself, by pattern of its name at the provider."""
    requests_used_share: float | None
    """How full the meter of the minute is; at 1 the next call waits. Null: no such limit, or Redis is away."""
    tokens_used_share: float | None
    in_flight: int | None
    """Calls now, where concurrency is limited."""
    closed_s: float
    """Until all its models open again after a 429 for the whole account; 0: open, or only some of `models` are not."""
    closing: ClosingShape | None
    """Of all its models together; null: open."""
    models: list[ModelShape]
    """Those of which something is known, by name."""
    disabled_s: float
    """Until it is tried again after the provider refused it."""
    trouble: FailureKind | None
    """Why it was refused: bad_key or no_credit."""
    troubled_for_s: float | None


class RecentShape(msgspec.Struct, frozen=True):
    """Your tenant's calls to it, from the ledger."""

    calls: int
    failures: int
    cost_usd: str | None
    """Null: there were calls, and no cost of them is known."""
    unknown_cost: int
    """Calls whose cost nobody knows."""
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class ClocksShape(msgspec.Struct, frozen=True):
    """The time-outs of a call, in seconds; the job's deadline cuts them all."""

    connect_s: float
    first_byte_s: float
    """Of a stream; a whole answer has the total."""
    idle_s: float
    total_s: dict[str, float]
    """By policy."""


class ProviderShape(msgspec.Struct, frozen=True):
    """A provider of the settings."""

    id: str
    object: Literal["provider"]
    is_on: bool
    """Whether one of its keys is set for this API process, or it wants none."""
    dialect: str
    host: str
    """Host and port of its address."""
    http2: bool
    sandbox: bool
    limits_by: Literal["model", "key"]
    """What a 429 of it closes: the model that was asked, or the whole key."""
    breaker: BreakerShape
    deployments: list[DeploymentShape]
    """Those that a policy or the settings name, and those called lately; the catalogue knows more."""
    keys: list[KeyShape]
    recent: RecentShape


class ProviderList(msgspec.Struct, frozen=True):
    """Every configured provider, in the settings' order."""

    object: Literal["list"]
    is_known: bool
    """False: Redis is away, so breakers, closings and used limits are not known; workers go by their own opinion."""
    recent_since: str
    """Since when `recent` counts: an hour, less when that holds more than the newest 50,000 calls."""
    clocks: ClocksShape
    data: list[ProviderShape]
