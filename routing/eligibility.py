"""Who can carry a job, at what cost, and who cannot: one reason per deployment, from one table of checks."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from jobs.chat import ChatRequest, Usage
from jobs.policy import Intent, Policy
from routing.abilities import Asked, asked_of
from routing.catalog import Catalog, Deployment, Model
from routing.fit import Count, Room, system_tokens
from routing.learn.fits import Fit
from routing.prices import Price
from routing.tokens import InputEstimate, estimate, high_tokens

AUTO = "auto"
"""The policy that ships and that a request without a model means; it alone never mixes sandbox with real."""

OUTPUT_TOKENS = 4096
"""Bound of an answer when neither the caller nor the catalogue names one."""
EXPECTED_OUTPUT_TOKENS = 256
"""What an answer is expected to take when its bound is above that: a guess until there are measurements."""


MOST_OFF = 4
"""Deployments of a policy that are looked at though their providers are off: enough to be named in a receipt."""


class Reason(StrEnum):
    """Why a deployment cannot carry a job. The order is how near it came: the last checks first."""

    OVER_BUDGET = "over_budget"
    """The upper bound of one call is above the intent's max_cost_usd."""
    UNKNOWN_PRICE = "unknown_price"
    """The intent has a budget, and nobody knows what this deployment costs, or nothing bounds it."""
    NO_LOGPROBS = "no_logprobs"
    """The policy judges by confidence, and this model is known to give none: its answer would be thrown away."""
    CONTEXT_WINDOW = "context_window"
    """Prompt and asked-for output do not fit the model's window."""
    SYSTEM_LIMIT = "system_limit"
    """The system prompt is longer than the model takes."""
    OUTPUT_LIMIT = "output_limit"
    """More output is asked for than the model gives."""
    ACCURACY_UNKNOWN = "accuracy_unknown"
    """The intent has a min_accuracy, and this deployment was never measured on the task."""
    STRICT = "strict"
    """The job is strict, and this deployment's wire or model would change something of the request."""
    UNSUPPORTED = "unsupported"
    """Its wire or model cannot carry a part of the request."""
    SCHEMA_KEYWORD = "schema_keyword"
    """A strict schema uses a keyword that the model does not keep."""
    UNRELIABLE_TOOLS = "unreliable_tools"
    """Nested schemas or parallel calls, and the model is not marked reliable for such work."""
    NO_FORCED_TOOLS = "no_forced_tools"
    NO_TOOLS = "no_tools"
    NO_AUDIO = "no_audio"
    NO_PDF = "no_pdf"
    NO_VISION = "no_vision"
    REGION = "region"
    """Not in the required region, or its region is unknown."""
    ZERO_RETENTION = "zero_retention"
    """Keeps prompts, or nobody knows whether it does."""
    SANDBOX_MIXED = "sandbox_mixed"
    """`auto` takes no sandbox while a real provider is on."""
    PROVIDER_OFF = "provider_off"
    """No key for its provider, or the provider is not configured."""
    UNKNOWN_MODEL = "unknown_model"
    """The policy names something that the catalogue does not serve."""


NOTHING = Decimal(0)
NEARNESS: dict[Reason, int] = {reason: rank for rank, reason in enumerate(Reason)}

CONSTRAINT: dict[Reason, str] = {
    **{reason: reason.value for reason in Reason},
    Reason.OVER_BUDGET: "max_cost_usd",
    Reason.UNKNOWN_PRICE: "max_cost_usd",
    Reason.ACCURACY_UNKNOWN: "min_accuracy",
}
"""What the receipt calls the constraint behind a reason."""


class Option(msgspec.Struct, frozen=True):
    """A deployment in its place in a policy, with what does not depend on the job."""

    id: str
    deployment: Deployment
    model: Model
    """As it is served there."""
    tier: int
    rank: int
    """Place of the policy's entry inside the tier; the deployments behind one entry share it."""
    fault: Reason | None = None
    """Keeps it out of every job of this policy."""
    price: Price | None = None
    """The deployment's on the yard's day."""


class Lineup(msgspec.Struct, frozen=True):
    """A policy laid over a catalogue: what it names, once each, at its first place."""

    options: tuple[Option, ...]
    missing: tuple[str, ...]
    """Names in the policy that the catalogue does not serve."""
    more_off: int = 0
    """Deployments at providers that are off and not among the options: a model may have fifty, and no job needs to hear
    of each."""


def lineup(policy: Policy, catalog: Catalog, enabled: frozenset[str], day: dt.date | None = None) -> Lineup:
    """Everything about a policy that does not depend on a job. `enabled` names the providers that are on.

    Prices are those of `day`; without one, the newest.
    """
    found: dict[str, Option] = {}
    missing: list[str] = []
    for tier, names in enumerate(policy.tiers):
        for rank, name in enumerate(names):
            served = catalog.candidates(name)
            if not served:
                missing.append(name)
            for deployment in served:
                fault = None if deployment.provider in enabled else Reason.PROVIDER_OFF
                found.setdefault(
                    deployment.id,
                    Option(
                        id=deployment.id,
                        deployment=deployment,
                        model=catalog.model_at(deployment),
                        tier=tier,
                        rank=rank,
                        fault=fault,
                        price=deployment.price_on(day),
                    ),
                )
    options = tuple(found.values())
    if policy.name == AUTO and any(option.fault is None and not option.deployment.is_sandbox for option in options):
        options = tuple(map(_without_sandbox, options))
    off = [option for option in options if option.fault is Reason.PROVIDER_OFF]
    unlisted = {option.id for option in off[MOST_OFF:]}
    return Lineup(tuple(option for option in options if option.id not in unlisted), tuple(missing), len(unlisted))


def _without_sandbox(option: Option) -> Option:
    if option.fault is None and option.deployment.is_sandbox:
        return replace(option, fault=Reason.SANDBOX_MIXED)
    return option


class Needs(msgspec.Struct, frozen=True):
    """What a job asks of whoever carries it; worked out once, checked against every option."""

    input: InputEstimate
    """By what was learnt of the deployment, once `mended`; the shipped guess before."""
    guess: InputEstimate
    system_tokens: int
    max_output_tokens: int | None
    """The caller's cap for one answer."""
    choices: int
    asked: Asked
    """What is asked for beyond text."""
    allows_unproven_tools: bool
    """Complex tool work may go to models that are not marked reliable for it."""
    has_cache_marks: bool
    """The request may mark parts of the prompt to be cached; some caches cost extra."""
    has_sound: bool
    """It may hold sound, or ask for it."""
    intent: Intent
    fit: Fit | None = None
    """What was learnt of the deployment that is looked at."""


class Step(msgspec.Struct, frozen=True):
    """One deployment that can carry the job. Amounts are for a single call; None is an unknown price."""

    deployment: Deployment
    model: Model
    price: Price | None
    """By which the call is booked; the ledger names it."""
    tier: int
    expected_usd: Decimal | None
    bound_usd: Decimal | None
    """The call costs no more: input bound and output bound at the catalogue's price."""
    input_tokens: int
    """Estimate, see `routing.tokens`."""
    output_tokens_bound: int
    """Most output tokens of all choices together."""
    guess: InputEstimate | None = None
    """Before anything learnt; what is billed for it teaches."""
    fit: Fit | None = None
    """By which `input_tokens` and the bound were estimated."""
    room: Room | None = None
    """The prompt is too long for this model and is cut to this, see `routing.fit`."""

    @property
    def id(self) -> str:
        """The deployment's id; it names the step, for a plan holds each deployment once."""
        return self.deployment.id

    @property
    def least_input_tokens(self) -> int:
        """What the prompt hardly stays below, images left out: a provider's limit below it can't carry the request."""
        if self.guess is None:
            return 0
        estimate = self.guess if self.fit is None else self.fit.estimate(self.guess)
        flat = self.guess.measure.flat_tokens if self.guess.measure else 0
        return max(0, estimate.low_tokens - flat)


def needs_of(request: ChatRequest, intent: Intent, policy: Policy | None = None) -> Needs:
    """Read a request once. Never raises. Without a policy, or under the name of a model, unproven tools are allowed.

    Who names one model wants that one; a policy's list is for us to choose from.
    """
    has_cache_marks, has_sound = dear_parts(request.raw)
    guess = estimate(request)
    return Needs(
        input=guess,
        guess=guess,
        system_tokens=system_tokens(request),
        max_output_tokens=request.max_output_tokens,
        choices=request.choices,
        asked=asked_of(request),
        allows_unproven_tools=policy is None or policy.unproven_tools == "allow" or "/" in policy.name,
        has_cache_marks=has_cache_marks,
        has_sound=has_sound,
        intent=intent,
    )


def mended(needs: Needs, fit: Fit | None) -> Needs:
    """The same needs, their tokens counted as was learnt of one deployment."""
    return needs if fit is None else replace(needs, input=fit.estimate(needs.guess), fit=fit)


def counter(fit: Fit | None) -> Count:
    """Counts what a request will hardly exceed at one deployment."""
    return high_tokens if fit is None else lambda request: fit.estimate(estimate(request)).high_tokens


def dear_parts(raw: bytes) -> tuple[bool, bool]:
    """Whether a body may mark what is to be cached, and whether it may hold or ask for sound: both can cost extra.

    Looked for in the text, which is cheap, and taken for there when anything is written in escapes.
    """
    if b"\\u" in raw:
        return True, True
    return b'"cache_control"' in raw, b'"input_audio"' in raw or b'"audio"' in raw


def _is_too_long(option: Option, needs: Needs) -> bool:
    window, most = option.model.context_tokens, option.model.max_input_tokens
    if most is not None and needs.input.high_tokens > most:
        return True
    return window is not None and needs.input.high_tokens + (needs.max_output_tokens or 1) > window


def room_of(option: Option, needs: Needs) -> Room:
    """What the model takes of the prompt beside the answer that is asked for."""
    window, most = option.model.context_tokens, option.model.max_input_tokens
    limits = [limit for limit in (window and window - (needs.max_output_tokens or 1), most) if limit is not None]
    return Room(max(0, min(limits)) if limits else None, option.model.max_system_tokens)


def _has_long_system(option: Option, needs: Needs) -> bool:
    most = option.model.max_system_tokens
    return most is not None and needs.system_tokens > most


def _wants_more_output(option: Option, needs: Needs) -> bool:
    limit, wanted = option.model.max_output_tokens, needs.max_output_tokens
    return limit is not None and wanted is not None and wanted > limit


def _has_no_bound(option: Option) -> bool:
    return option.price is None or option.price.is_open_ended


def _is_elsewhere(option: Option, needs: Needs) -> bool:
    region = needs.intent.require.region
    return region is not None and option.deployment.region != region


def _keeps_prompts(option: Option, needs: Needs) -> bool:
    return needs.intent.require.zero_retention is True and option.deployment.zero_retention is not True


def _is_unproven(option: Option, needs: Needs) -> bool:
    """Known to be unreliable: never; not known to be reliable: only where the policy allows it."""
    proven = option.model.has_reliable_tools
    return needs.asked.is_complex_tool_work and (
        proven is False or (proven is None and not needs.allows_unproven_tools)
    )


def _keeps_not_all(option: Option, needs: Needs) -> bool:
    keeps = option.model.schema_keywords
    return keeps is not None and not needs.asked.strict_keywords <= keeps


CHECKS: tuple[tuple[Reason, Callable[[Option, Needs], bool]], ...] = (
    (Reason.ZERO_RETENTION, _keeps_prompts),
    (Reason.REGION, _is_elsewhere),
    (Reason.NO_VISION, lambda option, needs: needs.input.has_images and option.model.has_vision is False),
    (Reason.NO_AUDIO, lambda option, needs: "sound" in needs.asked.part_kinds and option.model.has_audio is False),
    (Reason.NO_PDF, lambda option, needs: "file" in needs.asked.part_kinds and option.model.has_pdf is False),
    (Reason.NO_TOOLS, lambda option, needs: needs.asked.has_tools and option.model.has_tools is False),
    (Reason.NO_FORCED_TOOLS, lambda option, needs: needs.asked.forces_tools and option.model.has_forced_tools is False),
    (Reason.UNRELIABLE_TOOLS, _is_unproven),
    (Reason.SCHEMA_KEYWORD, _keeps_not_all),
    # No scores yet in this release: an unknown accuracy does not count as met.
    (Reason.ACCURACY_UNKNOWN, lambda _, needs: needs.intent.min_accuracy is not None),
    (Reason.OUTPUT_LIMIT, _wants_more_output),
    (Reason.SYSTEM_LIMIT, _has_long_system),
    (Reason.CONTEXT_WINDOW, _is_too_long),
    (
        Reason.UNKNOWN_PRICE,
        lambda option, needs: needs.intent.max_cost_usd is not None and _has_no_bound(option),
    ),
)
"""In the order of asking; the first that holds is the reason. What a model is not known to lack, it may have."""


def fault_of(option: Option, needs: Needs) -> Reason | None:
    """The first reason why this option cannot carry the job, its cost and confidence aside; None when it can."""
    if option.fault is not None:
        return option.fault
    for reason, holds in CHECKS:
        if holds(option, needs):
            return reason
    return None


def distance(reason: Reason, option: Option | None = None, bound_usd: Decimal | None = None) -> tuple[int, Decimal]:
    """Sorts the excluded by how near they came: the smallest overspend, the widest window first."""
    amount = bound_usd or NOTHING
    if option is not None and reason is Reason.CONTEXT_WINDOW:
        amount = Decimal(-(option.model.context_tokens or 0))
    elif option is not None and reason is Reason.OUTPUT_LIMIT:
        amount = Decimal(-(option.model.max_output_tokens or 0))
    return NEARNESS[reason], amount


def step_of(option: Option, needs: Needs) -> Step:
    """One call to this option, with what it is expected to cost and what it can cost at most."""
    longest = needs.max_output_tokens or option.model.max_output_tokens or OUTPUT_TOKENS
    expected_usd = bound_usd = None
    price = option.price
    if price is not None:
        expected = min(longest, EXPECTED_OUTPUT_TOKENS)
        expected_usd = price.of(Usage(needs.input.tokens, expected * needs.choices))
        bound_usd = price.bound(
            needs.input.bound_tokens,
            longest * needs.choices,
            has_cache_marks=needs.has_cache_marks,
            has_sound=needs.has_sound,
        )
    return Step(
        deployment=option.deployment,
        model=option.model,
        price=price,
        tier=option.tier,
        expected_usd=expected_usd,
        bound_usd=bound_usd,
        input_tokens=needs.input.tokens,
        output_tokens_bound=longest * needs.choices,
        guess=needs.guess,
        fit=needs.fit,
    )


def again(step: Step, request: ChatRequest, intent: Intent) -> Step | None:
    """The same step for a request that has become longer; None when it can't carry that."""
    option = Option(step.id, step.deployment, step.model, step.tier, rank=0, price=step.price)
    needs = mended(needs_of(request, intent), step.fit)
    return step_of(option, needs) if fault_of(option, needs) is None else None
