"""Plans a job: which deployments to ask, in which order, at what cost, and a receipt that says why."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from jobs.chat import ChatRequest
from jobs.failures import Failure, FailureKind
from jobs.policy import Intent, Policy
from jobs.receipt import Receipt
from jobs.settings import Provider
from routing.abilities import PLAIN
from routing.catalog import Catalog, Target, nearest
from routing.dialects.base import Asking, Unsupported, WireRequest
from routing.dialects.registry import accent_of, dialect_of
from routing.eligibility import (
    AUTO,
    NOTHING,
    Lineup,
    Needs,
    Option,
    Reason,
    Step,
    counter,
    distance,
    fault_of,
    lineup,
    mended,
    needs_of,
    room_of,
    step_of,
)
from routing.emulation import Carried, Emulation, carry, emulations
from routing.fit import fit
from routing.learn.fits import Fit
from routing.waybill import Ruled, complaint, receipt

__all__ = ["Plan", "Step", "UnknownName", "Yard", "feasible", "plan", "policy_for", "rendezvous"]

TOO_LONG = frozenset({Reason.CONTEXT_WINDOW, Reason.SYSTEM_LIMIT})
LONGEST_DETAIL, MOST_CHANGES = 300, 3
"""Of what stands in a candidate's way, in characters and in changes: a receipt holds ten of them."""
LONGEST_NAME = 100
"""Names are cut to this in messages, and before the nearest known one is looked for."""


class Plan(msgspec.Struct, frozen=True):
    """Steps tier by tier, inside a tier in the order of choice. Made again at each claim, the same each time."""

    policy: Policy
    intent: Intent
    steps: tuple[Step, ...]
    receipt: Receipt
    complaint: str | None = None
    """Why there is no step, and what to do about it; None when there is one."""
    providers: Mapping[str, Provider] = {}
    """How the providers are spoken with, the yard's."""


class Yard(msgspec.Struct, frozen=True, eq=False):
    """What a plan is made from, beside the job: fixed until the settings are read again."""

    catalog: Catalog
    enabled: frozenset[str]
    """Names of the providers that are on."""
    policies_version: str = ""
    day: dt.date | None = None
    """Whose prices count; None: the newest."""
    providers: Mapping[str, Provider] = {}
    """How each is spoken with; of one that is not here it is not known what its wire can carry."""
    fits: Mapping[str, Fit] = {}
    """What was learnt of each deployment's tokens; whoever gave it may fill it while jobs are planned."""
    lineups: dict[Policy, Lineup] = {}
    """Filled by `lineup`: laying a policy over the catalogue costs more than planning a job with it."""

    def lineup(self, policy: Policy) -> Lineup:
        """The policy laid over the catalogue, worked out once."""
        known = self.lineups.get(policy)
        if known is None:
            known = self.lineups[policy] = lineup(policy, self.catalog, self.enabled, self.day)
        return known

    def on(self, day: dt.date) -> "Yard":
        """The same yard with the prices of a day; itself while the day lasts."""
        return self if self.day == day else replace(self, day=day, lineups={})


class UnknownName(msgspec.Struct, frozen=True):
    """Neither a policy nor a model nor a deployment is called so."""

    param: str
    """Where the name stood: `policy` or `request.model`."""
    message: str
    """Names the nearest known one and says what to do."""

    @property
    def failure(self) -> Failure:
        """The same for a job whose name was known when it was submitted and is no longer."""
        return Failure(FailureKind.INTENT_INFEASIBLE, self.message)


def policy_for(
    model: str, policy_name: str | None, policies: Mapping[str, Policy], catalog: Catalog
) -> Policy | UnknownName:
    """The policy that a job runs under. `policy_name` goes before `model`, the request's own word.

    Either may name a policy, `auto` among them, or a model or a deployment: then it is a policy of one tier with that
    one entry and that name, so that the name of a job's policy is always enough to find it again.
    """
    name = policy_name or model or AUTO
    policy = policies.get(name)
    if policy is not None:
        return policy
    if name in catalog.models or name in catalog.deployments:
        return Policy(name=name, tiers=((name,),))
    param = "policy" if policy_name else "request.model"
    shown = name[:LONGEST_NAME]
    near = nearest(shown, policies, catalog)
    hint = f"did you mean {near!r}?" if near else "GET /v1/models lists what there is."
    return UnknownName(param, f"{param}: no policy, model or deployment is called {shown!r}; {hint}")


def plan(
    job_id: uuid.UUID, request: ChatRequest, policy: Policy, intent: Intent, yard: Yard, *, strict: bool = False
) -> Plan:
    """Who is asked, in which order. Never raises; a plan without steps says in `complaint` and its receipt why.

    Order inside a tier, by `policy.choose`: `cheapest` by the expected cost, unknown last; `ordered` as written;
    `balanced` by chance alone. Equal candidates (the same cost, or deployments behind one written name) share the jobs
    evenly, by a hash of job and deployment, so a job meets the same order at each claim. `fastest` and `best` have no
    measurements yet: they are taken as `ordered`, and the receipt says so.

    A request of more than plain text is shown to each candidate's wire: who cannot carry it is out, and for a strict
    job who would change it, too.
    """
    line = yard.lineup(policy)
    needs = needs_of(request, intent, policy)
    too_long = request if policy.on_overflow and not strict else None
    emulated = emulations(line.options, request, policy, needs)
    able, ruled_out = _judge_options(line.options, policy, needs, too_long, emulated, yard.fits)
    if strict or needs.asked is not PLAIN:
        asking = Asking(needs_logprobs=policy.min_confidence is not None)
        able, refused = _by_wire(able, request, asking, yard.providers, strict=strict)
        ruled_out += refused
    steps = _in_order(able, policy, job_id)
    ruled_out += [Ruled(name, Reason.UNKNOWN_MODEL, distance(Reason.UNKNOWN_MODEL)) for name in line.missing]
    ruled_out.sort(key=lambda ruled: ruled.distance)
    return Plan(
        policy=policy,
        intent=intent,
        steps=steps,
        receipt=receipt(
            steps, ruled_out, policy, needs, (yard.catalog.version, yard.policies_version), more_off=line.more_off
        ),
        complaint=None if steps else complaint(ruled_out, policy, intent, more_off=line.more_off),
        providers=yard.providers,
    )


def feasible(plan: Plan) -> Failure | None:
    """What to answer at submit when nothing can ever carry the job; None when something can."""
    if plan.complaint is None:
        return None
    return Failure(FailureKind.INTENT_INFEASIBLE, plan.complaint)


class _Able(NamedTuple):
    """An option that can carry the job, with its step."""

    option: Option
    step: Step
    emulation: Emulation | None = None


def _judge_options(
    options: Iterable[Option],
    policy: Policy,
    needs: Needs,
    too_long: ChatRequest | None,
    emulated: Mapping[str, Carried],
    fits: Mapping[str, Fit],
) -> tuple[list[_Able], list[Ruled]]:
    """Who can carry the job, and who cannot. `too_long` is the request where it may be cut to a window."""
    able: list[_Able] = []
    ruled_out: list[Ruled] = []
    budget_usd = needs.intent.max_cost_usd
    for option in options:
        emulation, learnt = None, fits.get(option.id)
        if emulated and (carried := emulated.get(option.id)) is not None:
            emulation, step = _emulating(option, carried, learnt)
        else:
            step = _step_or_fault(option, mended(needs, learnt), too_long, policy)
        if not isinstance(step, Step):
            ruled_out.append(step)
            continue
        if budget_usd is not None and step.bound_usd is not None and step.bound_usd > budget_usd:
            over = distance(Reason.OVER_BUDGET, option, step.bound_usd)
            ruled_out.append(Ruled(option.id, Reason.OVER_BUDGET, over))
        else:
            able.append(_Able(option, step, emulation))
    if policy.min_confidence is None or policy.on_unknown_confidence == "accept":
        return able, ruled_out
    return _with_confidence(able, policy, ruled_out)


def _step_or_fault(option: Option, needs: Needs, too_long: ChatRequest | None, policy: Policy) -> Step | Ruled:
    reason = fault_of(option, needs)
    if reason is None:
        return step_of(option, needs)
    step = _squeezed(option, needs, too_long, policy) if reason in TOO_LONG and too_long is not None else None
    return step or Ruled(option.id, reason, distance(reason, option))


def _emulating(option: Option, carried: Carried, learnt: Fit | None) -> tuple[Emulation | None, Step | Ruled]:
    """A candidate that is asked for tool calls as JSON; its prompt is never cut, for the words must stand whole."""
    if isinstance(carried.emulation, Unsupported):
        return None, _refused(option, Reason.UNSUPPORTED, _told(carried.emulation))
    needs = mended(carried.needs, learnt)
    reason = fault_of(option, needs)
    if reason is not None:
        return None, Ruled(option.id, reason, distance(reason, option))
    return carried.emulation, step_of(option, needs)


def _squeezed(option: Option, needs: Needs, request: ChatRequest, policy: Policy) -> Step | None:
    """The step for a prompt cut to this model's room; None where that is not enough, or not all that is in the way."""
    room = room_of(option, needs)
    cut = fit(request, room, policy.on_overflow, counter(needs.fit))
    if cut is None:
        return None
    shorter = mended(needs_of(cut.request, needs.intent, policy), needs.fit)
    return replace(step_of(option, shorter), room=room) if fault_of(option, shorter) is None else None


def _by_wire(
    able: list[_Able], request: ChatRequest, asking: Asking, providers: Mapping[str, Provider], *, strict: bool
) -> tuple[list[_Able], list[Ruled]]:
    """Ask each candidate's dialect what it would make of the request; nothing is sent."""
    kept: list[_Able] = []
    refused: list[Ruled] = []
    for one in able:
        name = one.option.deployment.provider
        provider = providers.get(name)
        found = None
        if provider is not None:
            target = Target(one.option.deployment, one.option.model, accent_of(name, provider))
            wire = carry(dialect_of(name, provider), one.emulation or request, target, asking)
            found = _objection(wire, strict=strict)
        if found is None:
            kept.append(one)
        else:
            refused.append(_refused(one.option, *found))
    return kept, refused


def _refused(option: Option, reason: Reason, detail: str) -> Ruled:
    return Ruled(option.id, reason, distance(reason), detail[:LONGEST_DETAIL])


def _told(stop: Unsupported) -> str:
    return f"{stop.field}: {stop.reason}"


def _objection(wire: WireRequest | Unsupported, *, strict: bool) -> tuple[Reason, str] | None:
    if isinstance(wire, Unsupported):
        return Reason.UNSUPPORTED, _told(wire)
    lossy = [change for change in wire.adaptations if change.is_lossy]
    if not strict or not lossy:
        return None
    told = "; ".join(f"{change.field} {change.action}: {change.reason}" for change in lossy[:MOST_CHANGES])
    more = len(lossy) - MOST_CHANGES
    return Reason.STRICT, told + (f"; and {more} more" if more > 0 else "")


def _with_confidence(able: list[_Able], policy: Policy, ruled_out: list[Ruled]) -> tuple[list[_Able], list[Ruled]]:
    """Leave out models known to give no log-probabilities, where their answers could only be thrown away.

    In the last tier that can carry the job an answer is handed out as best effort whatever its confidence, so there
    they may stay, unless the policy would rather fail.
    """
    last = max((one.step.tier for one in able), default=0) if policy.on_exhausted == "best_effort" else None
    kept: list[_Able] = []
    for one in able:
        if one.option.model.has_logprobs is False and one.step.tier != last:
            ruled_out.append(Ruled(one.option.id, Reason.NO_LOGPROBS, distance(Reason.NO_LOGPROBS)))
        else:
            kept.append(one)
    return kept, ruled_out


def _in_order(able: list[_Able], policy: Policy, job_id: uuid.UUID) -> tuple[Step, ...]:
    if len(able) > 1:
        by_cost, by_place = policy.choose == "cheapest", policy.choose != "balanced"
        seed = job_id.bytes

        def preference(one: _Able) -> tuple[int, bool, Decimal | int, bytes]:
            step, usd = one.step, one.step.expected_usd
            if by_cost:
                return step.tier, usd is None, usd or NOTHING, rendezvous(seed, one.option.id)
            return step.tier, False, one.option.rank if by_place else 0, rendezvous(seed, one.option.id)

        able = sorted(able, key=preference)
    return tuple(one.step for one in able)


def rendezvous(seed: bytes, name: str) -> bytes:
    """Highest-random-weight hashing (Thaler and Ravishankar, 1998): each name's own draw for this seed.

    When a name comes or goes, only the jobs that it wins change place.
    """
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=seed, digest_size=8).digest()
