"""`tokenyard ledger`: what was booked, looked at again under other prices."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import typer

from cli.client import visit
from cli.costs import read_moment
from cli.up import Var, console
from cli.wording import counted, show, table, usd

app = typer.Typer(help="Work over the ledger of calls.", no_args_is_help=True)
HEADS = ("deployment", "calls", "booked", "rerated", "difference", "changed", "newly priced", "no usage", "no price")


@app.callback()
def _group() -> None:
    """Keep `rerate` a command of its own: a group of one would swallow its name."""


@app.command("rerate")
def rerate(
    since: Annotated[str, typer.Option(help="Calls from then on: 24h, 7d, 2026-11-01 (UTC) or a time.")],
    until: Annotated[str | None, typer.Option(help="Calls before then, written as in --since; default now.")] = None,
    deployment: Annotated[str | None, typer.Option(help="Only this one: maker/name@provider.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")] = False,
    var: Var = None,
) -> None:
    """Show what a period's calls would cost by the catalogue's prices of their days, beside what was booked.

    Nothing is changed: a ledger that is rewritten proves nothing. Correct a price in tokenyard.toml or by an import
    first, restart the API, then ask.

    Example: tokenyard ledger rerate --since 2026-11-01 --until 2026-12-01
    """
    now = dt.datetime.now(dt.UTC)
    asked = {"since": read_moment(since, now, "--since"), "until": read_moment(until, now, "--until")}
    with visit(var) as client:
        answer = client.get("/v1/ledger/rerate", deployment=deployment, **asked)
    if json:
        print(msgspec.json.encode(answer).decode())
        return
    lines = answer["data"]
    if not lines:
        console.print("No calls in this time.")
        return
    rows = [_row(line) for line in lines]
    show(console, table(HEADS, [*rows, _row(_total(lines))], frozenset(range(1, len(HEADS)))))
    console.print(_sentence(_total(lines)), soft_wrap=True)


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    return (
        line["deployment"],
        f"{line['calls']:,}",
        usd(line["booked_usd"]),
        usd(line["rerated_usd"]),
        signed(Decimal(line["difference_usd"])),
        f"{line['changed']:,}",
        f"{line['newly_priced']:,}",
        f"{line['without_usage']:,}",
        f"{line['without_price']:,}",
    )


def signed(amount: Decimal) -> str:
    """A difference in USD with its sign; nothing is 0."""
    return "0" if not amount else ("+" if amount > 0 else "-") + usd(abs(amount))


def _total(lines: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"deployment": "all"}
    for name in lines[0]:
        if name.endswith("_usd"):
            total[name] = sum((Decimal(line[name]) for line in lines), Decimal(0))
        elif name != "deployment":
            total[name] = sum(line[name] for line in lines)
    return total


def _sentence(total: dict[str, Any]) -> str:
    said = f"By the prices known now, {counted(total['changed'], 'call')} would cost {signed(total['difference_usd'])}."
    if total["newly_priced"]:
        said += (
            f" {counted(total['newly_priced'], 'call')} of unknown cost would come to {usd(total['newly_priced_usd'])}."
        )
    if total["without_usage"]:
        said += f" {counted(total['without_usage'], 'call')} can't be rated: nobody knows their tokens."
    return said + " The ledger stays as it is."
