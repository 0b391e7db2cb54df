"""The providers as the page shows them: breakers, keys with their limits, what is closed and until when."""

from collections.abc import Collection, Iterable
from typing import Any

from api.page import words
from jobs.durations import span
from jobs.failures import FailureKind
from jobs.health import BreakerView, ClosingView, Health, KeyView

TONES = {"closed": "good", "open": "bad", "half_open": "warn", "unknown": "quiet"}


def rows(health: Health, enabled: Collection[str]) -> list[dict[str, Any]]:
    """Every provider that is on, with its keys, and those of its deployments whose breaker is not closed."""
    breakers = {view.name: view for view in health.breakers if view.kind == "provider"}
    return [
        {
            "name": name,
            "breaker": _breaker(view),
            "deployments": [_breaker(each) for each in _sick(health.breakers, name)],
            "keys": [_key(key, health.is_known) for key in health.keys if key.provider == name],
        }
        for name, view in breakers.items()
        if name in enabled
    ]


def _sick(breakers: Iterable[BreakerView], provider: str) -> Iterable[BreakerView]:
    for view in breakers:
        if view.kind == "deployment" and view.name.endswith(f"@{provider}") and view.state != "closed":
            yield view


def _breaker(view: BreakerView) -> dict[str, Any]:
    since = "" if view.tripped_s is None else f"for {span(view.tripped_s)}"
    until = f"next try in {span(view.opens_in_s)}" if view.state == "open" else ""
    return {
        "name": view.name,
        "state": view.state.replace("_", " "),
        "tone": TONES[view.state],
        "story": ", ".join(part for part in (since, until) if part),
        "lately": _lately(view),
    }


def _lately(view: BreakerView) -> str:
    when = "last 30 s" if view.tripped_s is None else "in the 30 s before"
    if not view.calls:
        return f"no calls, {when}"
    return f"{view.calls:,} calls, {words.share(view.failures, view.calls)} failed, {when}"


def _key(view: KeyView, is_known: bool) -> dict[str, Any]:
    """What a key has used, and what keeps it from being used."""
    troubles = []
    if view.closing.why:
        troubles.append(_closed("closed", view.closing))
    troubles += [_closed(f"{each.model} closed", each.closing) for each in view.models if each.closing.why]
    if view.disabled_s:
        troubles.append(f"refused ({view.trouble}): tried again in {span(view.disabled_s)}")
    used = [_meter("requests", view.requests_used_share), _meter("tokens", view.tokens_used_share)]
    most = view.limits.concurrency
    if view.in_flight is not None and most is not None:
        used.append(_meter("at once", view.in_flight / most, f"{view.in_flight} of {most}"))
    limits = view.limits
    is_limited = any((limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency))
    return {
        "number": view.key_index + 1,
        "meters": [meter for meter in used if meter],
        "limits": "limits unknown now" if is_limited and not is_known else "" if is_limited else "no limits set",
        "troubles": troubles,
    }


def _closed(what: str, view: ClosingView) -> str:
    why = "the provider asked to wait" if view.why is FailureKind.RATE_LIMITED else f"refused ({view.why})"
    until = f"for {span(view.closed_s)} more" if view.closed_s else "until its next call shows that it works"
    return f"{what} {until}: {why}"


def _meter(name: str, share: float | None, said: str = "") -> dict[str, Any] | None:
    if share is None:
        return None
    full = round(100 * min(1.0, share), 1)
    return {"name": name, "full": full, "said": said or f"{full:.0f} %", "tone": "failed" if full >= 95 else "running"}
