"""`tokenyard providers`: which provider is sick, since when, when it is tried again, and what to type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from cli.client import visit
from cli.up import Var, console
from cli.wording import counted, show, table, typed, usd
from jobs.durations import span

Shape = dict[str, Any]
HEADS = ("provider", "now", "keys", "limits used", "calls 1 h", "failed", "p50", "p95", "cost")
NUMBERS = frozenset(range(3, 9))
STYLES = {"well": "green", "off": "dim", "unknown": "yellow", "half open": "yellow"}
"""Colour of how a provider is; what is closed is yellow, anything else red."""
MOST_MODELS = 10
WHY = {
    "rate_limited": "the provider limits it (429)",
    "bad_key": "the provider refuses the key for it",
    "no_credit": "there is no money left for it",
}
REFUSED = {"bad_key": "the provider refuses it", "no_credit": "its account has no money left"}


def providers(
    json: Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")] = False,
    var: Var = None,
) -> None:
    """Show every provider as the whole fleet sees it; below the table, what is wrong and what to type.

    Example: tokenyard providers
    """
    with visit(var) as client:
        answer = client.get("/v1/providers")
    if json:
        print(msgspec.json.encode(answer).decode())
        return
    show(console, table(HEADS, map(_row, answer["data"]), NUMBERS))
    if not answer["is_known"]:
        console.print(f"Redis is away, so nobody knows the breakers and limits: {typed(var, 'status')}", style="yellow")
    for sentence in troubles(answer["data"], var):
        console.print(sentence, markup=False, soft_wrap=True)


def troubles(found: list[Shape], var: Path | None) -> Iterator[str]:
    """A sentence for each thing that is wrong, sickest first; none when all is well."""
    for provider in found:
        yield from _of_breakers(provider)
    for provider in found:
        for key in provider["keys"]:
            yield from _of_key(provider["id"], key, var)
    off = [provider for provider in found if not provider["is_on"]]
    if off:
        named = [f"{each['id']} ({', '.join(key['env'] for key in each['keys'] if key['env'])})" for each in off]
        yield f"Off, because no key is set: {', '.join(named)}. To use one, export its key and {_restart(var)}"


def _of_breakers(provider: Shape) -> Iterator[str]:
    parts = [(provider["id"], provider["breaker"])]
    parts += [(each["id"], each["breaker"]) for each in provider["deployments"]]
    for name, breaker in parts:
        if breaker["state"] not in {"open", "half_open"}:
            continue
        failed = f"{breaker['failures']} of {counted(breaker['calls'], 'call')} failed"
        since = f"sick for {span(breaker['tripped_for_s'])} ({failed}; opened {counted(breaker['trips'], 'time')})"
        again = f"tried again in {span(breaker['opens_in_s'])}" if breaker["opens_in_s"] else "its next call tries it"
        yield f"{name}: {since}; {again}. Nothing to type: its jobs go elsewhere or wait, and lose no attempt"


def _of_key(provider: str, key: Shape, var: Path | None) -> Iterator[str]:
    name = f"{provider}, key {key['index']}" + (f" ({key['env']})" if key["env"] else "")
    if key["trouble"] is not None:
        again = f"tried again in {span(key['disabled_s'])}" if key["disabled_s"] else "its next call tries it again"
        remedy = f"export a working {key['env'] or 'key'} and {_restart(var)}"
        if key["trouble"] == "no_credit":
            remedy = f"pay the account in and wait, or {remedy}"
        why = REFUSED.get(key["trouble"], key["trouble"])
        yield f"{name}: {why}, since {span(key['troubled_for_s'])} ago; {again}. To mend it: {remedy}"
    if key["closing"]:
        yield f"{name}: closed with all its models; {_closed(key['closing'])}"
    closed = [model for model in key["models"] if model["closing"]]
    for model in closed[:MOST_MODELS]:
        yield f"{name}, {model['model']}: closed; {_closed(model['closing'])}. Its other models go on"
    if len(closed) > MOST_MODELS:
        yield f"{name}: {len(closed) - MOST_MODELS} more models are closed; --json has them all"


def _closed(closing: Shape) -> str:
    """Why, until when, and when it is tried."""
    why = WHY.get(closing["why"], closing["why"])
    ends = f"for another {span(closing['closed_s'])}" if closing["closed_s"] else "until a call shows that it is over"
    again = f"one call tries it in {span(closing['tried_s'])}" if closing["tried_s"] else "its next call tries it"
    return f"{why}, {ends}; {again}, the others wait"


def _restart(var: Path | None) -> str:
    return f"`{typed(var, 'down')} && {typed(var, 'up')}` (elsewhere: restart the workers)"


def _row(provider: Shape) -> tuple[str | Text, ...]:
    state, recent = _state(provider), provider["recent"]
    return (
        provider["id"] + (" (sandbox)" if provider["sandbox"] else ""),
        Text(state, style="yellow" if state.endswith("closed") else STYLES.get(state, "red")),
        _keys(provider["keys"]),
        _used(provider["keys"]),
        f"{recent['calls']:,}",
        f"{recent['failures']:,}",
        _latency(recent["latency_p50_ms"]),
        _latency(recent["latency_p95_ms"]),
        usd(recent["cost_usd"]),
    )


def _state(provider: Shape) -> str:
    breaker, keys = provider["breaker"]["state"], provider["keys"]
    if not provider["is_on"]:
        return "off"
    if breaker in {"open", "half_open", "unknown"}:
        return str(breaker).replace("_", " ")
    usable = [key for key in keys if key["is_set"] and not key["disabled_s"]]
    if not usable:
        return "key refused"
    if all(map(_is_closed, usable)):
        return "key closed"
    if closed := sum(_is_closed(model) for key in usable for model in key["models"]):
        return f"{counted(closed, 'model')} closed"
    sick = sum(each["breaker"]["state"] in {"open", "half_open"} for each in provider["deployments"])
    return f"{counted(sick, 'deployment')} sick" if sick else "well"


def _is_closed(each: Shape) -> bool:
    """Whether a key or a model is closed now, not only waiting for a call that tries it."""
    return each["closing"] is not None and each["closing"]["closed_s"] > 0


def _keys(keys: list[Shape]) -> str:
    """How many of them can be used now."""
    usable = sum(key["is_set"] and not key["disabled_s"] and not _is_closed(key) for key in keys)
    return f"{usable} of {len(keys)}"


def _used(keys: list[Shape]) -> str:
    """The fullest meter of all its keys and their models."""
    metered = [*keys, *(model for key in keys for model in key["models"])]
    shares = [share for each in metered for share in (each["requests_used_share"], each["tokens_used_share"])]
    shares += [each["in_flight"] / each["limits"]["concurrency"] for each in metered if each["in_flight"] is not None]
    known = [share for share in shares if share is not None]
    return f"{max(known):.0%}" if known else "-"


def _latency(total_ms: float | None) -> str:
    return "-" if total_ms is None else span(total_ms / 1000)
