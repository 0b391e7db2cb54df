"""Reads what Google puts beside an error: the `details` of a google.rpc.Status, on its own wire and its OpenAI face."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.failures import Scope, TokenLimit
from routing.dialects.errors import identifier
from routing.dialects.retry_after import span_s

MOST_DETAILS = 50
INPUT_TOKENS = "InputTokens"
"""In the `quotaId` of a limit on the tokens of prompts."""
PER_MODEL = "PerModel"
"""In the `quotaId` of a limit that each model has: `GenerateRequestsPerMinutePerProjectPerModel-FreeTier`."""


class Details(msgspec.Struct, frozen=True):
    """What the details say."""

    reason: str | None = None
    """`ErrorInfo.reason`, in lower case."""
    wait_s: float | None = None
    """`RetryInfo.retryDelay`."""
    scope: Scope | None = None
    """Of the quotas that were exceeded; None: none is named."""
    limit: TokenLimit | None = None
    is_closed: bool = False
    """A quota of 0: this project may not use the model at all (UKGovernmentBEIS/inspect_ai#3215)."""


def details_of(value: Any) -> Details:
    """Read `error.details`. Never raises."""
    found = list(_details(value))
    reason = next((identifier(detail.get("reason")) for kind, detail in found if kind == "ErrorInfo"), None)
    delay = next((detail.get("retryDelay") for kind, detail in found if kind == "RetryInfo"), None)
    quotas = [
        quota for kind, detail in found if kind == "QuotaFailure" for quota in _mappings(detail.get("violations"))
    ]
    ids = [str(quota["quotaId"]) for quota in quotas if "quotaId" in quota]
    limits = [limit for quota in quotas if (limit := _limit(quota)) is not None]
    return Details(
        reason=reason,
        wait_s=span_s(delay) if isinstance(delay, str) else None,
        scope=(Scope.MODEL if all(PER_MODEL in name for name in ids) else Scope.ACCOUNT) if ids else None,
        limit=min(limits, key=lambda limit: limit.tokens, default=None),
        is_closed=any(quota.get("quotaValue") == "0" for quota in quotas),
    )


def _limit(quota: Mapping[str, Any]) -> TokenLimit | None:
    value, name = quota.get("quotaValue"), str(quota.get("quotaId"))
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12
    if INPUT_TOKENS not in name or not is_number or int(str(value)) == 0:
        return None
    return TokenLimit(int(str(value)), has_output=False)


def _details(details: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and content of each: `type.googleapis.com/google.rpc.RetryInfo` is of the kind RetryInfo."""
    for detail in _mappings(details):
        yield str(detail.get("@type", "")).rpartition(".")[2], detail


def _mappings(values: Any) -> Iterator[Mapping[str, Any]]:
    for value in values[:MOST_DETAILS] if isinstance(values, list) else ():
        if isinstance(value, Mapping):
            yield value
