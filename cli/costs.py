"""`tokenyard costs`: what the calls cost, by model, provider, deployment, task, key or day."""

import datetime as dt
import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from cli.client import visit
from cli.up import Var, console
from cli.wording import UNKNOWN, counted, show, table, usd
from jobs.durations import span

SPAN = re.compile(r"(?P<number>\d{1,5})(?P<unit>[mhdw])")
UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
NUMBERS = ("calls", "jobs", "accepted", "in", "out", "cost", "of unknown cost", "p50", "p95")


class Group(StrEnum):
    """What sums can be taken by."""

    MODEL = "model"
    PROVIDER = "provider"
    DEPLOYMENT = "deployment"
    TASK = "task"
    KEY = "key"
    DAY = "day"


def costs(
    by: Annotated[list[Group] | None, typer.Option(help="May be given several times; default model.")] = None,
    since: Annotated[str | None, typer.Option(help="Calls from then on: 24h, 7d, 2026-11-01 (UTC) or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls before then, written as in --since.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only the calls of this batch.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")] = False,
    var: Var = None,
) -> None:
    """Sum up calls, tokens, cost and latency. A cost that nobody knows is counted apart, never as 0.

    Example: tokenyard costs --by model --by day --since 7d
    """
    now = dt.datetime.now(dt.UTC)
    groups = [group.value for group in dict.fromkeys(by or [Group.MODEL])]
    span_asked = {"since": read_moment(since, now, "--since"), "until": read_moment(until, now, "--until")}
    with visit(var) as client:
        lines = client.get("/v1/usage", group_by=",".join(groups), batch=batch, **span_asked)
        if json:
            print(msgspec.json.encode(lines).decode())
            return
        if not lines["data"]:
            console.print("No calls in this time." if since or until else "No calls yet.")
            return
        # Its own query: a job that called two models counts once, and percentiles can't be summed.
        (total,) = client.get("/v1/usage", batch=batch, **span_asked)["data"]
        _show(groups, lines["data"], total)


def read_moment(text: str | None, now: dt.datetime, option: str, sign: int = -1) -> str | None:
    """A time for the API: a span back from now (`sign` 1: on), a day (its start in UTC), or a time.

    Raises typer.BadParameter.
    """
    if text is None:
        return None
    if found := SPAN.fullmatch(text):
        return (now + sign * dt.timedelta(seconds=int(found["number"]) * UNITS_S[found["unit"]])).isoformat()
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a span such as 24h or 7d nor a day or time such as 2026-11-01"
        raise typer.BadParameter(message, param_hint=option) from error
    return (when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)).isoformat()


def _show(groups: list[str], lines: list[dict[str, Any]], total: dict[str, Any]) -> None:
    rows = [(*(line[group] or "(none)" for group in groups), *_figures(line)) for line in lines]
    rows.append(("all", *("" for _ in groups[1:]), *_figures(total)))
    numbers = frozenset(range(len(groups), len(groups) + len(NUMBERS)))
    show(console, table((*groups, *NUMBERS), rows, numbers))
    if total["unpriced"]:
        console.print(
            f"{counted(total['unpriced'], 'call')} went to deployments without a price: `tokenyard doctor` names them, "
            "and [[deployments]] in tokenyard.toml, or an import, gives them one.",
            soft_wrap=True,
        )
    if total["unknown_cost"]:
        console.print(
            f"The cost of {counted(total['unknown_cost'], 'call')} is unknown (still open, cut, or without a price) "
            f"and not in the sums. Each at its upper bound, where it has one: {usd(total['cost_bound_usd'])} in all.",
            soft_wrap=True,
        )


def _figures(line: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{line['calls']:,}",
        f"{line['jobs']:,}",
        f"{line['accepted']:,}",
        _tokens(line["input_tokens"]),
        _tokens(line["output_tokens"]),
        usd(line["cost_usd"]),
        f"{line['unknown_cost']:,}",
        _latency(line["latency_p50_ms"]),
        _latency(line["latency_p95_ms"]),
    )


def _tokens(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _latency(total_ms: float | None) -> str:
    return "-" if total_ms is None else span(total_ms / 1000)
