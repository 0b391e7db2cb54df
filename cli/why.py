"""`tokenyard why`: a job's receipt and its calls in prose, and what to do when it is not well."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.client import Client, visit
from cli.remedies import meaning, remedy
from cli.up import Var, console
from cli.wording import age, counted, moment, typed, usd
from jobs.durations import span
from jobs.failures import FailureKind
from jobs.states import State
from routing.waybill import MEANING

Fields = dict[str, Any]
CHOSEN_BY = {
    "price": "it was the cheapest",
    "balance": "it shares the jobs evenly with its equals and this one fell to it",
    "order": "the policy names it first",
    "policy": "the policy names no other in its tier",
}
"""How the receipt's `binding` reads; any other is the constraint that kept the next one out."""
REASONS: dict[str, str] = {code.value: text for code, text in MEANING.items()}
WAITS = {
    "rate_limit": "the providers' rate limits left no room",
    "concurrency": "as many calls as the providers' limits allow were under way",
    "breaker": "the providers were failing, and their breakers were open",
    "key_disabled": "the providers' keys were switched off after refusals (no credit, or a wrong key)",
    "budget": "the tenant's or the key's budget left no room for a call; `tokenyard budgets list` shows it,"
    " `budgets set` raises it",
    "backoff": "calls had failed, and the next try was put off for a while",
}
"""Why a job was sent back to wait: the receipt's notes `waited: ...`."""
WAITED, STORY = "waited: ", ("escalated to ", "failed over to ")
NEVER_BILLED = "not_sent"
CUT: dict[str | None, str] = {
    None: "the call is under way",
    "orphaned": "it answered, but its worker had lost the job by then: billed and not used",
    "unknown": "its worker died with the call open, and nobody saw an answer or a bill",
    "cancelled": "we cut the call (cancelled, past the deadline, or its worker was shut down)",
}
"""Calls whose end tells nothing of the provider."""
IN_VAIN = frozenset(
    {
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_TOO_LONG,
        FailureKind.UNSUPPORTED,
        FailureKind.INTENT_INFEASIBLE,
        FailureKind.OVER_BUDGET,
    }
)
"""Failures of the request itself: sent again as it is, it fails again."""
UNUSED = frozenset({"rejected", "failed", "cancelled", "orphaned", "unknown"})


def why(job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, job_...")], var: Var = None) -> None:
    """Say in prose why a job went where it went, what that cost, and what to do if it waits or failed.

    Example: tokenyard why job_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        found = client.get(f"/v1/jobs/{job}")
        threshold = _min_confidence(client, found["policy"]) if found["attempts"] else None
        for paragraph in story(found, dt.datetime.now(dt.UTC), threshold):
            console.print(paragraph, markup=False, soft_wrap=not console.is_terminal)
        for command in next_steps(found):
            console.print(" ", typed(var, *command), markup=False, soft_wrap=True)


def story(job: Fields, now: dt.datetime, threshold: float | None = None) -> Iterator[str]:
    """The paragraphs about a job (as GET /v1/jobs/{id} gives it); `threshold` is its policy's min_confidence."""
    yield _headline(job, now)
    receipt = job["receipt"]
    if receipt:
        yield from _routing(receipt)
    yield from _calls(job["attempts"], threshold)
    notes = [note for note in receipt.get("notes", ()) if not note.startswith(STORY)]
    waits = Counter(note.removeprefix(WAITED) for note in notes if note.startswith(WAITED))
    for reason, times in waits.items():
        often = "once" if times == 1 else f"{times} times"
        yield f"It was sent back to wait {often}: {WAITS.get(reason, reason)}."
    yield from (f"Note: {note}." for note in notes if not note.startswith(WAITED))
    if job["attempts"]:
        yield _cost(job)
    yield from _changes(job)
    yield from _outlook(job, now)


def _min_confidence(client: Client, policy: str) -> float | None:
    """The policy's threshold as it is now, where the catalogue tells it."""
    for entry in client.get("/v1/models")["policies"]:
        if entry["name"] == policy:
            found: float | None = entry.get("min_confidence")
            return found
    return None


def _headline(job: Fields, now: dt.datetime) -> str:
    name = f"{job['id']} ({job['custom_id']})" if job["custom_id"] else job["id"]
    begun = f"{name}, lane {job['lane']}, was submitted {age(job['created_at'], now)} ago"
    if job["started_at"] is None:
        ended = {State.QUEUED: "waits", State.CANCELLED: "was cancelled before it ran"}
        return f"{begun} and {ended.get(job['state'], job['state'] + ' before it ran')}."
    waited = f"{begun}, first ran after {_between(job['created_at'], job['started_at'])}"
    if job["finished_at"] is None:
        return f"{waited} and is {job['state']}."
    end = "was cancelled" if job["state"] == State.CANCELLED else job["state"]
    return f"{waited} and {end} {_between(job['started_at'], job['finished_at'])} later."


def _between(first: str, last: str) -> str:
    return span((moment(last) - moment(first)).total_seconds())


def _routing(receipt: Fields) -> Iterator[str]:
    """Who was eligible, who was not and why, and why the first choice was the first."""
    excluded = receipt.get("excluded", [])
    more: dict[str, int] = receipt.get("excluded_more", {})
    out = len(excluded) + sum(more.values())
    eligible = receipt.get("eligible", 0)
    able = f"{counted(eligible, 'deployment')} {'was' if eligible == 1 else 'were'} eligible"
    end = f", {out:,} {'was' if out == 1 else 'were'} not:" if out else "; none was ruled out."
    yield f"It ran under policy {receipt['policy']}. {able}{end}"
    for one in excluded:
        yield f"  - {one['deployment']}: {reason(one['reason'])}"
    for code, count in more.items():
        yield f"  - {count:,} more: {reason(code)}"
    chosen, second = receipt.get("chosen"), receipt.get("runner_up")
    if chosen is None:
        return
    binding = receipt.get("binding")
    because = CHOSEN_BY.get(binding, f"the nearest other of its tier was ruled out ({binding})") if binding else None
    first = f"First choice was {chosen['deployment']}" + (f", because {because}" if because else "")
    behind = f"; next in line {_candidate(second)}" if second else ""
    yield f"{first}: {_expected(chosen)}{behind}."


def reason(code: str) -> str:
    """Why a deployment was ruled out, and what would let it in."""
    return REASONS.get(code, code)


def _candidate(candidate: Fields) -> str:
    return f"{candidate['deployment']} (tier {candidate['tier'] + 1}, {_expected(candidate)})"


def _expected(candidate: Fields) -> str:
    if candidate.get("expected_usd") is None:
        return "cost unknown, it has no price"
    return f"{usd(candidate['expected_usd'])} expected, at most {usd(candidate.get('bound_usd'))}"


def _calls(attempts: Sequence[Fields], threshold: float | None) -> Iterator[str]:
    """One sentence a call, in the order in which they were made."""
    before: Fields | None = None
    for number, call in enumerate(attempts, start=1):
        yield f"  {number}. {_went(before, call)} {_came(call, threshold)}; {_bill(call)}."
        before = call


def _went(before: Fields | None, call: Fields) -> str:
    if before is None:
        return f"It went to {call['deployment']}:"
    if call["tier"] > before["tier"]:
        return f"So it escalated to {call['deployment']} (tier {call['tier'] + 1}):"
    if call["deployment"] != before["deployment"]:
        return f"So it failed over to {call['deployment']}:"
    return f"It tried {call['deployment']} again:"


def _came(call: Fields, threshold: float | None) -> str:
    """What came back of a call."""
    took = "" if call["total_ms"] is None else f" after {span(call['total_ms'] / 1000)}"
    outcome = call["outcome"]
    if outcome == "accepted":
        return f"answered{took}{_sureness(call)}, accepted"
    if outcome == "rejected":
        return f"answered{took}{_sureness(call)}, {_shortfall(call, threshold)}, so the answer was rejected"
    if outcome in CUT:
        return CUT[outcome]
    status = f", HTTP {call['status']}" if call["status"] else ""
    return f"failed{took}{status}: {meaning(call['failure'] or outcome)}"


def _sureness(call: Fields) -> str:
    return " without a confidence" if call["confidence"] is None else f" with confidence {call['confidence']:.2f}"


def _shortfall(call: Fields, threshold: float | None) -> str:
    """Why an answer was not good enough: its end or its confidence, whichever the figures say."""
    sure = call["confidence"]
    if threshold is not None and sure is not None and sure < threshold:
        return f"below {threshold:g}"
    if call["finish_reason"] not in {None, "stop"}:
        return f"and ended with `{call['finish_reason']}`"
    return "which the policy does not take" if sure is None else "too low for the policy"


def _bill(call: Fields) -> str:
    if call["outcome"] == NEVER_BILLED:
        return "cost nothing, no request left"
    if call["cost_usd"] is not None:
        return f"cost {usd(call['cost_usd'])}"
    known = "no bill yet" if call["outcome"] is None else "cost unknown"
    bound = call["cost_bound_usd"]
    return known if bound is None else f"{known}, at most {usd(bound)}"


def _cost(job: Fields) -> str:
    """The sum, what of it bought nothing, and what is not known."""
    if job["cost_usd"] is None:
        total = "What it cost is unknown"
    else:
        total = f"It cost {usd(job['cost_usd'])}" + ("" if job["cost_complete"] else " as far as it is known")
    unused = [call for call in job["attempts"] if call["outcome"] in UNUSED and call["cost_usd"] is not None]
    wasted = sum((Decimal(call["cost_usd"]) for call in unused), Decimal(0))
    of_which = (
        f", of which {usd(wasted)} for {counted(len(unused), 'call')} whose answer was not used" if wasted else ""
    )
    bound = job["cost_bound_usd"]
    most = "" if job["cost_complete"] or bound is None else f"; at most {usd(bound)} with what is not known"
    return f"{total}{of_which}{most}."


def _changes(job: Fields) -> Iterator[str]:
    """What left differently from how it came in, and what of the intent was not kept."""
    for change in job["adaptations"]:
        yield f"Changed for the provider: {change['field']} was {change['action']}, {change['reason']}."
    if job["intent_kept"] is False:
        wanted = (job["intent"] or {}).get("max_latency_ms")
        yield f"It took longer than the {wanted} ms of max_latency_ms: that chooses, it does not cut."
    if job["sandbox"]:
        yield "The sandbox answered: an offline stand-in, not a real model."


def _outlook(job: Fields, now: dt.datetime) -> Iterator[str]:
    """What a living job waits for, or why a dead one died and what to do."""
    left = max(0.0, (moment(job["deadline_at"]) - now).total_seconds())
    if job["cancel_requested_at"] and job["finished_at"] is None:
        yield "Its owner has asked to cancel it; its worker will stop."
    elif job["state"] == State.QUEUED:
        yield f"{_waits_for(job)} Its deadline is in {span(left)}; then it expires."
    elif job["state"] == State.RUNNING:
        yield f"A worker has it now. Its deadline is in {span(left)}."
    elif job["error"] is not None and job["state"] != State.SUCCEEDED:
        kind = job["error"]["code"]
        yield f"It {_ending(job['state'])}: {job['error']['message']} ({kind})."
        yield f"What to do: {remedy(kind)}"
    elif job["state"] == State.EXPIRED:
        yield f"It expired: its deadline, {job['deadline_at']}, came first. What to do: {remedy('deadline_passed')}"


def _ending(state: str) -> str:
    return "was cancelled" if state == State.CANCELLED else state


def _waits_for(job: Fields) -> str:
    if job["started_at"] is None:
        return f"It waits for a free worker of lane {job['lane']}; `tokenyard status` shows whether one runs."
    notes = job["receipt"].get("notes", ())
    if notes and notes[-1].startswith(WAITED):
        return "It will be tried again as soon as that has passed."
    return "A worker gave it back; it will be tried again shortly."


def next_steps(job: Fields) -> Iterator[tuple[str, ...]]:
    """What one may want to type next."""
    if job["error"] is not None and job["error"]["code"] in IN_VAIN:
        return
    if job["state"] in {State.FAILED, State.EXPIRED, State.CANCELLED} and not job["purged_at"]:
        yield "jobs", "retry", job["id"]
    elif job["state"] == State.SUCCEEDED:
        yield "jobs", "show", job["id"]
