"""Policy and intent: what a job may cost, how sure it must be, and whom to ask in which order."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Choose = Literal["cheapest", "fastest", "best", "ordered", "balanced"]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tiers of candidates: fail over inside a tier, escalate from one tier to the next.

    >>> Policy(name="support", tiers=(("qwen/qwen-2.5-72b",), ("openai/gpt-4o",)), min_confidence=0.7).tiers[0]
    ('qwen/qwen-2.5-72b',)
    """

    name: str = ""
    tiers: tuple[tuple[str, ...], ...] = ()
    """Models (`maker/name`) or deployments (`maker/name@provider`), cheapest tier first."""
    choose: Choose = "cheapest"
    """Order inside a tier. Equal candidates share the jobs evenly, by job id."""
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """0..1. An answer below it is rejected and the next tier is asked. None: take any answer."""
    on_unknown_confidence: Literal["escalate", "accept"] = "escalate"
    """What an answer without log-probabilities counts as, when min_confidence is set."""
    unproven_tools: Literal["refuse", "allow"] = "refuse"
    """Whether nested tool schemas and parallel calls may go to models not marked `has_reliable_tools`."""
    on_overflow: tuple[Literal["history", "system"], ...] = ()
    """What may be cut, in this order, of a prompt too long for a candidate's window; empty: pass the candidate over."""
    emulate_tools: bool = False
    """Whether models known to lack tools may be asked for calls as JSON (`routing.emulation`)."""
    escalate_on: frozenset[Literal["length", "content_filter"]] = frozenset()
    """Finish reasons that count as not good enough."""
    on_exhausted: Literal["best_effort", "fail"] = "best_effort"
    """When no tier is left: hand out the best answer so far, or fail."""
    on_unknown: Literal["repeat", "skip", "fail"] = "repeat"
    """After a crash cut a call: make it again, go on to the next candidate, or fail."""
    on_disconnect: Literal["cancel", "finish"] = "cancel"
    """When the client of a chat completion hangs up: call its job off, or let it end, to be fetched under its id."""
    attempts_per_deployment: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Calls to one deployment for one job before it is left alone; being rate limited does not count."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] = 12
    """Calls for one job over all its life; being rate limited does not count."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    """First byte sent to last byte read, for one call."""


class Requirements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hard properties of whoever carries the job; an unknown property does not count as met."""

    region: str | None = None
    zero_retention: bool | None = None


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the caller wants of one job, over and above its policy."""

    max_cost_usd: Decimal | None = None
    """Ceiling for all attempts together; a call whose upper bound does not fit is not made."""
    max_latency_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """First byte sent to last byte read over all steps. It chooses, it does not kill."""
    min_accuracy: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """0..1 on the job's task."""
    require: Requirements = Requirements()
    on_infeasible: Literal["wait", "fail", "best_effort"] = "wait"
    """When only health stands in the way at claim."""
