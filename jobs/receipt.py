"""The receipt: why a job went where it went, small enough to keep with every job."""

import msgspec

MAX_BYTES = 4096
MAX_EXCLUDED = 10


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deployment that could carry the job, with what it was expected to cost."""

    deployment: str
    tier: int
    expected_usd: str | None = None
    """None when its price is unknown."""
    bound_usd: str | None = None


class Exclusion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deployment that could not, and the reason (a short code; `docs/` explains each)."""

    deployment: str
    reason: str
    detail: str | None = None
    """The part of the request that stood in the way, where there is one."""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who was eligible, who was not and why, the estimates, and what decided.

    Names the versions it was made from, so that a replay can reproduce it.
    """

    policy: str
    catalog_version: str
    policy_version: str
    chosen: Candidate | None = None
    runner_up: Candidate | None = None
    eligible: int = 0
    excluded: tuple[Exclusion, ...] = ()
    """The ten nearest; the rest are counted by reason."""
    excluded_more: dict[str, int] = {}
    input_tokens_estimate: int = 0
    output_tokens_bound: int = 0
    binding: str | None = None
    """The constraint that decided: `price`, `order`, `max_cost_usd`, `context_window`, ..."""
    notes: tuple[str, ...] = ()
    """What happened after the plan: escalated, best effort, repeated after a crash."""
