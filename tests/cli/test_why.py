"""Why: the receipt and the calls in prose, and a remedy for every failure."""

import datetime as dt
from typing import Any, get_args

import msgspec
import pytest

from cli.remedies import MEANINGS, REMEDIES, meaning, remedy
from cli.why import WAITS, next_steps, reason, story
from jobs.failures import FailureKind
from jobs.states import Outcome
from routing.eligibility import Reason
from routing.verdict import DeferReason
from tests.cli.lab import RECEIPT

NOW = dt.datetime(2026, 11, 1, 12, 0, 10, tzinfo=dt.UTC)
CALL: dict[str, Any] = {
    "deployment": "maker/small@lab",
    "tier": 0,
    "outcome": "accepted",
    "failure": None,
    "status": None,
    "finish_reason": "stop",
    "confidence": 0.93,
    "cost_usd": "0.000100000000",
    "cost_bound_usd": "0.000500000000",
    "total_ms": 380,
}
JOB: dict[str, Any] = {
    "id": "job_x",
    "custom_id": None,
    "state": "succeeded",
    "lane": "bulk",
    "policy": "auto",
    "error": None,
    "cost_usd": "0.000100000000",
    "cost_bound_usd": "0.000100000000",
    "cost_complete": True,
    "intent": None,
    "intent_kept": None,
    "adaptations": [],
    "sandbox": False,
    "created_at": "2026-11-01T12:00:00.000Z",
    "started_at": "2026-11-01T12:00:02.000Z",
    "finished_at": "2026-11-01T12:00:03.000Z",
    "deadline_at": "2026-11-01T14:00:10.000Z",
    "cancel_requested_at": None,
    "purged_at": None,
    "attempts": [CALL],
    "receipt": msgspec.to_builtins(RECEIPT),
}
QUEUED = JOB | {"state": "queued", "started_at": None, "finished_at": None, "attempts": [], "receipt": {}}


def told(threshold: float | None = None, /, **changes: Any) -> str:
    return "\n".join(story(JOB | changes, NOW, threshold))


def test_the_choice_is_explained():
    said = told()
    assert "2 deployments were eligible, 1 was not:" in said
    assert "maker/other@off: its provider is off; give it a key" in said
    assert (
        "First choice was maker/small@lab, because it was the cheapest: $0.000100 expected, at most $0.000500" in said
    )
    assert "next in line maker/large@far (tier 2," in said


def test_an_escalation_is_told_call_by_call():
    first = CALL | {"outcome": "rejected", "confidence": 0.41}
    second = CALL | {"deployment": "maker/large@far", "tier": 1, "cost_usd": "0.01"}
    said = told(0.7, attempts=[first, second], cost_usd="0.0101")
    assert "confidence 0.41, below 0.7, so the answer was rejected; cost $0.000100" in said
    assert "So it escalated to maker/large@far (tier 2): answered after 380 ms with confidence 0.93, accepted" in said
    assert "It cost $0.0101, of which $0.000100 for 1 call whose answer was not used." in said


@pytest.mark.parametrize(
    ("call", "threshold", "words"),
    [
        ({"confidence": 0.41}, None, "too low for the policy"),
        ({"confidence": None}, 0.7, "which the policy does not take"),
        ({"confidence": 0.9, "finish_reason": "length"}, 0.7, "and ended with `length`"),
        ({"confidence": 0.9, "finish_reason": "length"}, None, "and ended with `length`"),
    ],
)
def test_a_rejection_says_what_the_figures_say_and_no_more(call, threshold, words):
    assert words in told(threshold, attempts=[CALL | {"outcome": "rejected"} | call])


def test_a_failure_at_a_provider_fails_over_and_an_unsent_call_costs_nothing():
    first = CALL | {"outcome": "not_sent", "failure": "unreachable", "cost_usd": None, "total_ms": None}
    said = told(attempts=[first, CALL | {"deployment": "maker/small@east"}])
    assert "failed: no connection was made (unreachable); cost nothing, no request left." in said
    assert "So it failed over to maker/small@east" in said


def test_an_unknown_cost_is_never_nought():
    lost = CALL | {"outcome": "unknown", "cost_usd": None}
    said = told(attempts=[lost], cost_usd=None, cost_complete=False, cost_bound_usd="0.0005", receipt={})
    assert "cost unknown, at most $0.000500" in said
    assert "What it cost is unknown; at most $0.000500 with what is not known." in said
    assert said.count("$") == 2


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_every_outcome_can_be_told(outcome):
    assert told(attempts=[CALL | {"outcome": outcome, "failure": None, "confidence": None, "cost_usd": None}])


def test_a_job_nobody_has_taken_says_what_it_waits_for():
    said = told(**QUEUED)
    assert "and waits." in said
    assert "It waits for a free worker of lane bulk" in said
    assert "Its deadline is in 2 h" in said


def test_a_job_that_was_put_off_says_why():
    receipt = JOB["receipt"] | {"notes": ["waited: rate_limit", "failed over to x", "waited: rate_limit"]}
    said = told(state="queued", finished_at=None, attempts=[], receipt=receipt)
    assert "sent back to wait 2 times: the providers' rate limits left no room." in said
    assert "tried again as soon as that has passed" in said
    assert "Note:" not in said


def test_a_failed_job_says_why_and_what_to_do():
    said = told(state="failed", error={"code": "over_budget", "message": "no further call fits"})
    assert "It failed: no further call fits (over_budget)." in said
    assert "What to do: Raise max_cost_usd" in said


def test_an_expired_and_a_cancelled_job_say_so():
    assert "later deadline" in told(state="expired")
    cancelled = told(**QUEUED | {"state": "cancelled", "error": {"code": "cancelled", "message": "its owner did"}})
    assert "was cancelled before it ran" in cancelled


def test_changes_and_a_broken_intent_are_told():
    changed = [{"field": "logprobs", "action": "added", "reason": "the policy asks for it"}]
    said = told(adaptations=changed, intent_kept=False, intent={"max_latency_ms": 100})
    assert "logprobs was added, the policy asks for it" in said
    assert "longer than the 100 ms" in said


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_a_meaning_and_a_remedy(kind):
    assert MEANINGS[kind] in meaning(kind)
    assert remedy(kind) == REMEDIES[kind]


def test_what_only_a_newer_yard_knows_is_named_as_it_is():
    assert meaning("moon") == "moon"
    assert "newer" in remedy("moon")
    assert reason("moon") == "moon"


def test_every_reason_and_every_wait_has_words():
    assert all(reason(code.value) != code.value for code in Reason)
    assert set(WAITS) == set(get_args(DeferReason))


def test_the_command_tells_a_real_job(lab):
    _, jobs = lab.submitted(3)
    lab.escalate(jobs[0])
    said = lab.said("why", jobs[0])
    assert "confidence 0.41" in said
    assert "It cost $0.0101, of which $0.000123 for 1 call" in said
    assert f"tokenyard jobs show {jobs[0]}" in said
    lab.fail(jobs[1], FailureKind.TRANSIENT)
    assert f"tokenyard jobs retry {jobs[1]}" in lab.said("why", jobs[1])
    lab.fail(jobs[2])
    assert "jobs retry" not in lab.said("why", jobs[2])


@pytest.mark.parametrize(
    ("kind", "retries"),
    [
        (FailureKind.TRANSIENT, True),
        (FailureKind.DEADLINE_PASSED, True),
        (FailureKind.BAD_REQUEST, False),
        (FailureKind.CONTEXT_TOO_LONG, False),
        (FailureKind.UNSUPPORTED, False),
        (FailureKind.INTENT_INFEASIBLE, False),
        (FailureKind.OVER_BUDGET, False),
    ],
)
def test_a_retry_is_offered_only_where_it_may_help(kind, retries):
    failed = JOB | {"state": "failed", "error": {"code": kind.value, "message": "No"}}
    assert list(next_steps(failed)) == ([("jobs", "retry", "job_x")] if retries else [])
