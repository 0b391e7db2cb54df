"""Writes a plan down: the receipt kept with every job, and the sentence for a job that nothing can carry."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from jobs.policy import Intent, Policy
from jobs.receipt import MAX_BYTES, MAX_EXCLUDED, Candidate, Exclusion, Receipt
from routing.eligibility import CONSTRAINT, NOTHING, Needs, Reason, Step

CUT = 100
"""Characters left of a name when a receipt is too large without the cut."""
NAMED = 3
"""How many of the nearest a complaint names."""

MEANING: dict[Reason, str] = {
    Reason.OVER_BUDGET: "one call may cost more than max_cost_usd; raise it or lower max_tokens",
    Reason.UNKNOWN_PRICE: "its price is unknown, or it bills its own searches without a bound, so max_cost_usd "
    "cannot be kept; add a price to the catalogue, or name another model",
    Reason.NO_LOGPROBS: "it gives no log-probabilities and the policy needs min_confidence; "
    'set on_unknown_confidence = "accept"',
    Reason.CONTEXT_WINDOW: "prompt and output do not fit its window; shorten the prompt, lower max_tokens, "
    "or let on_overflow cut it",
    Reason.SYSTEM_LIMIT: "the system prompt is longer than it takes; shorten it, or let on_overflow cut it",
    Reason.OUTPUT_LIMIT: "it gives less output than asked for; lower max_tokens",
    Reason.ACCURACY_UNKNOWN: "its accuracy on the task was never measured; leave min_accuracy out",
    Reason.STRICT: "the job is strict and it would change the request; leave `strict` out, or the part",
    Reason.UNSUPPORTED: "it cannot carry a part of the request",
    Reason.SCHEMA_KEYWORD: "it does not keep every keyword of the strict schema; simplify it, or leave `strict` out",
    Reason.UNRELIABLE_TOOLS: "it is not marked reliable for nested schemas and parallel calls; "
    'set unproven_tools = "allow" in the policy, or has_reliable_tools = true for the model',
    Reason.NO_FORCED_TOOLS: "it cannot be made to call a tool; leave tool_choice out",
    Reason.NO_AUDIO: "it takes no sound; name a model that does",
    Reason.NO_PDF: "it takes no files; name a model that does",
    Reason.NO_TOOLS: "it cannot call tools; name a model that can, or set emulate_tools = true in the policy",
    Reason.NO_VISION: "it takes no images; name a model that does",
    Reason.REGION: "it is not known to be in the required region",
    Reason.ZERO_RETENTION: "it is not known to keep nothing",
    Reason.SANDBOX_MIXED: "auto takes no sandbox while a real provider is on; name it to use it",
    Reason.PROVIDER_OFF: "its provider is off; give it a key",
    Reason.UNKNOWN_MODEL: "the catalogue does not serve it; correct the policy or add the deployment",
}
UNMEASURED = "choose={}: no measurements yet, taken in the order written"
NO_LATENCIES = "max_latency_ms: no measurements yet, it did not choose"


class Ruled(NamedTuple):
    """A deployment ruled out, why, and how near it came (smaller is nearer)."""

    id: str
    reason: Reason
    distance: tuple[int, Decimal]
    detail: str | None = None
    """The part of the request that stands in the way, and why."""


def receipt(
    steps: Sequence[Step],
    ruled_out: Sequence[Ruled],
    policy: Policy,
    needs: Needs,
    versions: tuple[str, str],
    *,
    more_off: int = 0,
) -> Receipt:
    """The receipt, at most MAX_BYTES of JSON. `ruled_out` nearest first; `versions` of the catalogue, the policies.

    `more_off`: deployments beside them whose providers are off.
    """
    written = Receipt(
        policy=policy.name,
        catalog_version=versions[0],
        policy_version=versions[1],
        chosen=_candidate(steps[0]) if steps else None,
        runner_up=_candidate(steps[1]) if len(steps) > 1 else None,
        eligible=len(steps),
        excluded=tuple(Exclusion(one.id, one.reason.value, one.detail) for one in ruled_out[:MAX_EXCLUDED]),
        excluded_more=_count(ruled_out[MAX_EXCLUDED:], more_off),
        input_tokens_estimate=steps[0].input_tokens if steps else needs.input.tokens,
        output_tokens_bound=steps[0].output_tokens_bound if steps else 0,
        binding=_binding(steps, ruled_out, policy),
        notes=_notes(policy, needs.intent),
    )
    return written if _fits(written) else _cut(written, _count(ruled_out, more_off))


def complaint(ruled_out: Sequence[Ruled], policy: Policy, intent: Intent, *, more_off: int = 0) -> str:
    """Why nothing can carry the job: the nearest that can almost, and what to do. `ruled_out` nearest first."""
    if not ruled_out:
        return f"policy {policy.name[:CUT]!r} names no model; give it tiers"
    nearest = ruled_out[0]
    if nearest.reason is Reason.OVER_BUDGET:
        limit_usd, bound_usd = _amount(intent.max_cost_usd or NOTHING), _amount(nearest.distance[1])
        return (
            f"nothing meets max_cost_usd {limit_usd}; the nearest is {nearest.id[:CUT]} at {bound_usd} "
            "for one call; raise max_cost_usd or lower max_tokens"
        )
    reasons = "; ".join(f"{one.id[:CUT]}: {_meaning(one)}" for one in ruled_out[:NAMED])
    unnamed = len(ruled_out) + more_off - NAMED
    more = f"; and {unnamed} more" if unnamed > 0 else ""
    return f"nothing in policy {policy.name[:CUT]!r} can carry this job: {reasons}{more}"


def _meaning(one: Ruled) -> str:
    return MEANING[one.reason] + (f" ({one.detail})" if one.detail else "")


def _candidate(step: Step) -> Candidate:
    expected_usd = None if step.expected_usd is None else _amount(step.expected_usd)
    bound_usd = None if step.bound_usd is None else _amount(step.bound_usd)
    return Candidate(step.id, step.tier, expected_usd, bound_usd)


def _amount(usd: Decimal) -> str:
    return f"{usd:f}"


def _count(ruled_out: Sequence[Ruled], more_off: int) -> dict[str, int]:
    if not ruled_out and not more_off:
        return {}
    counts = Counter(one.reason.value for one in ruled_out)
    if more_off:
        counts[Reason.PROVIDER_OFF.value] += more_off
    return dict(counts)


def _binding(steps: Sequence[Step], ruled_out: Sequence[Ruled], policy: Policy) -> str | None:
    """What decided between the first and the second choice; with one or none, what kept the nearest other out."""
    if len(steps) < 2 or steps[0].tier != steps[1].tier:
        return CONSTRAINT[ruled_out[0].reason] if ruled_out else "policy"
    if policy.choose == "cheapest":
        return "price" if steps[0].expected_usd != steps[1].expected_usd else "balance"
    return "balance" if policy.choose == "balanced" else "order"


def _notes(policy: Policy, intent: Intent) -> tuple[str, ...]:
    notes = []
    if policy.choose in ("fastest", "best"):
        notes.append(UNMEASURED.format(policy.choose))
    if intent.max_latency_ms is not None:
        notes.append(NO_LATENCIES)
    return tuple(notes)


def _fits(written: Receipt) -> bool:
    return len(msgspec.json.encode(written)) <= MAX_BYTES


def _cut(written: Receipt, counts: dict[str, int]) -> Receipt:
    """Shorten the names, then count the excluded instead of naming them. Only absurdly long names come here."""
    short = msgspec.structs.replace(
        written,
        policy=written.policy[:CUT],
        catalog_version=written.catalog_version[:CUT],
        policy_version=written.policy_version[:CUT],
        chosen=_short(written.chosen),
        runner_up=_short(written.runner_up),
        excluded=tuple(Exclusion(one.deployment[:CUT], one.reason) for one in written.excluded),
    )
    if _fits(short):
        return short
    return msgspec.structs.replace(short, excluded=(), excluded_more=counts)


def _short(candidate: Candidate | None) -> Candidate | None:
    return candidate and msgspec.structs.replace(candidate, deployment=candidate.deployment[:CUT])
