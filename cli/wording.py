"""How the commands write money, times and tables, and the command to type next."""

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.yard import VAR_VARIABLE
from jobs.durations import span

UNKNOWN = "unknown"
STYLES = {
    "succeeded": "green",
    "failed": "red",
    "expired": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "queued": "blue",
}
"""Colour of a job's state."""


def usd(amount: str | Decimal | None) -> str:
    """An amount in USD with as many decimals as tell something; None is `unknown`, never 0.

    >>> usd("0.000123400000"), usd("12.5"), usd("0"), usd(None)
    ('$0.000123', '$12.5000', '$0', 'unknown')
    """
    if amount is None:
        return UNKNOWN
    value = Decimal(amount)
    if not value:
        return "$0"
    if value >= Decimal("0.01"):
        return f"${value:,.4f}"
    # three digits that count, however small it is
    places = min(12, 2 - value.adjusted())
    return f"${value:.{places}f}"


def moment(text: str) -> dt.datetime:
    """A time of the API's."""
    return dt.datetime.fromisoformat(text)


def age(text: str, now: dt.datetime) -> str:
    """How long ago it was; a clock that differs from the yard's does not make it negative."""
    return span(max(0.0, (now - moment(text)).total_seconds()))


def counted(number: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def state(name: str) -> Text:
    """A job's state in its colour."""
    return Text(name, style=STYLES.get(name, ""))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], numbers: frozenset[int] = frozenset()) -> Table:
    """A table of one line a row; columns whose position is in `numbers` stand to the right. Cells are never markup."""
    built = Table(box=None, pad_edge=False, header_style="bold")
    for position, head in enumerate(heads):
        built.add_column(head, no_wrap=True, justify="right" if position in numbers else "left")
    for row in rows:
        built.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return built


def show(console: Console, built: Table) -> None:
    """Print a table at its own width: ids must not be cut, and a pipe has no width."""
    width = Measurement.get(console, console.options.update(width=10_000), built).maximum
    Console(file=console.file, width=max(width, console.width), highlight=False).print(built)


def typed(var: Path | None, *words: str) -> str:
    """A command as the user would type it after this one: with --var if this one had it."""
    is_default = var is None or str(var) == os.environ.get(VAR_VARIABLE)
    return " ".join(["tokenyard", *words, *([] if is_default else ["--var", str(var)])])
