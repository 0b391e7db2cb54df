"""A failed job as the page shows it: what went wrong, its calls, and its receipt in words."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from api.page import words
from jobs import ids
from jobs.durations import span
from routing.waybill import MEANING

_REASONS = {reason.value: meaning for reason, meaning in MEANING.items()}


def card(row: Any, now: dt.datetime) -> dict[str, Any]:
    """What the template shows of a row of `overview.newest_failures`. Never a prompt or an answer."""
    error: Mapping[str, Any] = row.error or {"kind": row.state, "message": ""}
    attempts = row.attempts or []
    return {
        "id": ids.show("job", row.id),
        "state": row.state,
        "ago": words.ago(row.finished_at, now),
        "iso": row.finished_at.isoformat(),
        "stamp": words.stamp(row.finished_at),
        "took": span((row.finished_at - row.created_at).total_seconds()),
        "kind": error.get("kind"),
        "message": error.get("message"),
        "facts": [(name, value) for name, value in _facts(row) if value],
        "attempts": [_call(number, call) for number, call in enumerate(attempts, start=row.calls - len(attempts) + 1)],
        "earlier": row.calls - len(attempts),
        "receipt": _receipt(row.receipt) if row.receipt else None,
    }


def _facts(row: Any) -> list[tuple[str, str | None]]:
    return [
        ("lane", row.lane),
        ("policy", row.policy),
        ("asked for", row.model),
        ("task", row.task),
        ("custom_id", row.custom_id),
    ]


def _call(number: int, call: Mapping[str, Any]) -> dict[str, Any]:
    said = [call["outcome"] or "under way"]
    if call["failure"]:
        said.append(call["failure"])
    if call["status"]:
        said.append(f"HTTP {call['status']}")
    never_left = call["outcome"] == "not_sent"
    cost = None if call["cost_usd"] is None else Decimal(call["cost_usd"])
    return {
        "number": number,
        "deployment": call["deployment"],
        "tier": call["tier"] + 1,
        "said": ", ".join(said),
        "took": words.millis(call["total_ms"]),
        "cost": "$0" if never_left else words.usd(cost),
    }


def _receipt(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt with its codes in words; a code of a newer version stays as it is."""
    more: Mapping[str, int] = receipt.get("excluded_more") or {}
    out = [(one["deployment"], reason(one["reason"])) for one in receipt.get("excluded") or ()]
    return {
        "policy": receipt.get("policy"),
        "eligible": receipt.get("eligible", 0),
        "chosen": _candidate(receipt.get("chosen")),
        "runner_up": _candidate(receipt.get("runner_up")),
        "binding": receipt.get("binding"),
        "excluded": out + [(f"{count:,} more", reason(code)) for code, count in more.items()],
        "notes": receipt.get("notes") or (),
        "versions": f"catalogue {receipt.get('catalog_version')}, policies {receipt.get('policy_version')}",
    }


def _candidate(candidate: Mapping[str, Any] | None) -> str | None:
    if candidate is None:
        return None
    expected, bound = candidate.get("expected_usd"), candidate.get("bound_usd")
    cost = "cost unknown" if expected is None else f"{words.usd(Decimal(expected))} expected"
    most = "" if bound is None else f", at most {words.usd(Decimal(bound))}"
    return f"{candidate['deployment']} (tier {candidate.get('tier', 0) + 1}; {cost}{most})"


def reason(code: str) -> str:
    """Why a deployment was ruled out, and what would let it in."""
    return _REASONS.get(code, code)
