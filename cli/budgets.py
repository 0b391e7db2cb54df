"""`tokenyard budgets`: ceilings on spending, of the tenant that asks and of its keys; `check` is the operator's."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cli.client import errors, visit
from cli.record import asked
from cli.up import Var, console, plain_errors
from cli.wording import counted, show, table, usd
from jobs import ids

if TYPE_CHECKING:
    from jobs.store.budgets import Drift
    from jobs.store.session import Connection

app = typer.Typer(help="Set, list, check and remove budgets.", no_args_is_help=True)
COLUMNS = ("id", "of", "period", "cap", "settled", "reserved", "left", "")


class Period(StrEnum):
    """When all of a budget is there again."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"


@app.command("set")
def set_budget(
    cap: Annotated[str, typer.Argument(metavar="USD", help="What may be spent in a period, such as 25.00.")],
    period: Annotated[Period, typer.Option(help="UTC days or months; total never ends.")] = Period.MONTH,
    key: Annotated[str | None, typer.Option(help="Only what this key submits: its id, key_...")] = None,
    alert: Annotated[
        list[int] | None, typer.Option(min=1, max=100, help="Percent; may be given several times.")
    ] = None,
    var: Var = None,
) -> None:
    """Set the cap of a tenant's or a key's budget, making the budget if there is none for the period.

    Example: tokenyard budgets set 25.00 --period month
    """
    asked_for: dict[str, Any] = {"cap_usd": cap} | ({"alert_percents": alert} if alert else {})
    with visit(var) as client:
        known = [
            each
            for each in client.get("/v1/budgets")["data"]
            if (each["key_id"], each["period"]) == (key, period.value)
        ]
        if known:
            made = client.patch(f"/v1/budgets/{known[0]['id']}", content=msgspec.json.encode(asked_for))
        else:
            wanted = asked_for | {"period": period.value} | ({"key_id": key} if key else {})
            made = client.post("/v1/budgets", content=msgspec.json.encode(wanted))
        show(console, table(COLUMNS, [_row(made)], frozenset({3, 4, 5, 6})))


@app.command("list")
def list_budgets(var: Var = None) -> None:
    """List the budgets: the cap, what is spent, what open calls have reserved, what is left.

    Example: tokenyard budgets list
    """
    with visit(var) as client:
        rows = [_row(budget) for budget in client.get("/v1/budgets")["data"]]
        if not rows:
            console.print("No budgets: nothing limits what is spent but max_cost_usd of each job.")
            return
        show(console, table(COLUMNS, rows, frozenset({3, 4, 5, 6})))


@app.command("remove")
def remove(budget: Annotated[str, typer.Argument(help="Its id, budget_...")], var: Var = None) -> None:
    """Remove a budget; jobs that waited for it go on.

    Example: tokenyard budgets remove budget_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        client.delete(f"/v1/budgets/{budget}")
        console.print(f"{budget} is removed.", markup=False)


@app.command("check")
def check(
    repair: Annotated[bool, typer.Option(help="Set sums that differ to those of the ledger's rows.")] = False,
    var: Var = None,
) -> None:
    """Hold every budget of every tenant against its ledger rows, on the database itself; exit 1 if one has drifted.

    Example: tokenyard budgets check
    """
    from jobs.store import budgets  # noqa: PLC0415 - few commands need SQLAlchemy

    async def look(connection: "Connection") -> "list[Drift]":
        drifts = await budgets.check(connection)
        for drift in drifts:
            if repair and drift.usd:
                await budgets.rebuild(connection, drift.id)
        return drifts

    with plain_errors():
        drifts = asked(var, look)
    adrift = [drift for drift in drifts if drift.usd]
    for drift in adrift:
        errors.print(
            f"{ids.show('budget', drift.id)}: {'was' if repair else 'is'} off by {drift.usd:f} USD: settled"
            f" {drift.settled_usd:f}, rows {drift.settled_rows_usd:f}; reserved {drift.reserved_usd:f}, rows"
            f" {drift.reserved_rows_usd:f}",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"{counted(len(drifts), 'budget')} checked against the ledger, {len(adrift)} adrift.")
    if adrift and not repair:
        raise typer.Exit(1)


def _row(budget: dict[str, Any]) -> tuple[str, ...]:
    ends = f"till {budget['period_end'][:10]}" if budget["period_end"] else ""
    note = "used up" if budget["exhausted_at"] else ""
    return (
        budget["id"],
        budget["key_id"] or "the tenant",
        budget["period"],
        usd(budget["cap_usd"]),
        usd(budget["settled_usd"]),
        usd(budget["reserved_usd"]),
        usd(budget["remaining_usd"]),
        ", ".join(part for part in (note, ends) if part),
    )
