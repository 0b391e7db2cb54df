"""What providers' token counts have in common: what a count is, and which of two reports of one stream stands."""

from collections.abc import Iterable, Mapping
from typing import Any

MOST = 2_000_000_000
"""More than any call can hold; a larger count is nonsense and would not fit the ledger's integers."""
Report = Mapping[str, Any]
"""Counts by name, as a provider sent them; some are grouped in objects of their own."""


class NoCount(ValueError):
    """A count is negative, not whole, too large, or no number. Inside the readers of usage only."""


def counted(value: Any) -> int | None:
    """A count; None where there is none. Some servers write whole numbers as 12.0. Raises NoCount for nonsense."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise NoCount(str(value)[:40])
    return value


def found(report: Report, places: Iterable[tuple[str, ...]]) -> int:
    """One kind of tokens from all places that may tell it; 0 where none does.

    Gateways tell one kind under two names, one of them often 0. Raises NoCount for nonsense, and where two places
    tell different numbers: nobody knows which one is billed.
    """
    told = 0
    for place in places:
        count = counted(_at(report, place)) if place[0] in report else None
        if count and told and count != told:
            raise NoCount("two places tell different counts")
        told = count or told
    return told


def _at(report: Report, place: tuple[str, ...]) -> Any:
    value: Any = report
    for name in place:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise NoCount(f"{place[0]} is no object")
        value = value.get(name)
    return value


def extent(report: Report) -> int:
    """How far a report has counted: the sum of its own whole numbers, for telling which of two goes further."""
    return sum(value for value in report.values() if isinstance(value, int) and not isinstance(value, bool))


def latest(known: Report | None, later: Any) -> Report | None:
    """The report that stands after another one came in the same stream.

    Reports of a stream are cumulative, so the later one stands, with what only the earlier one told. One that counted
    less than the one before was sent by mistake (a closing chunk of zeros) and only fills in what is missing.
    """
    if not isinstance(later, Mapping):
        return known
    if known is None:
        return later
    first, last = (known, later) if extent(later) >= extent(known) else (later, known)
    return merged(first, last)


def merged(first: Report, last: Report) -> Report:
    """The fields of both; `last` goes first where both tell one, and null tells nothing."""
    both: dict[str, Any] = dict(first)
    for name, value in last.items():
        before = both.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            both[name] = merged(before, value)
        elif value is not None:
            both[name] = value
    return both


def highest(known: Report, later: Report) -> Report:
    """Both reports with the higher of two counts, for wires whose counts never shrink (Anthropic's)."""
    both: dict[str, Any] = dict(known)
    for name, value in later.items():
        before = both.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            both[name] = highest(before, value)
        elif value is not None and not (_is_number(value) and _is_number(before) and value < before):
            both[name] = value
    return both


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
