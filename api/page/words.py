"""How the page writes money, spans and times."""

import datetime as dt
from decimal import Decimal

from jobs.durations import span

NONE = "\N{EN DASH}"
"""Where there is no figure."""
MINUS = "\N{MINUS SIGN}"


def usd(amount: Decimal | None) -> str:
    """An amount in USD with the digits that tell something; None is `unknown`, never 0.

    >>> usd(Decimal("0.0001234")), usd(Decimal("12.5")), usd(Decimal("1234.56")), usd(Decimal(0)), usd(None)
    ('$0.000123', '$12.50', '$1,235', '$0', 'unknown')
    """
    if amount is None:
        return "unknown"
    if not amount:
        return "$0"
    sign, size = MINUS if amount < 0 else "", abs(amount)
    places = 0 if size >= 1000 else 2 if size >= 1 else min(12, 2 - size.adjusted())
    return f"{sign}${size:,.{places}f}"


def millis(value: float | None) -> str:
    """A latency; None where there was none to measure.

    >>> millis(84.3), millis(1234), millis(None) == NONE
    ('84 ms', '1.2 s', True)
    """
    return NONE if value is None else span(value / 1000) if value >= 1000 else f"{value:.0f} ms"


def ago(then: dt.datetime, now: dt.datetime) -> str:
    """How long ago it was, to the second."""
    seconds = int((now - then).total_seconds())
    return "just now" if seconds < 1 else f"{span(seconds) if seconds >= 60 else f'{seconds} s'} ago"


def stamp(moment: dt.datetime) -> str:
    """A time for people: `2026-12-01 08:30:05 UTC`."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def share(part: float, whole: float) -> str:
    """A share in per cent; a small one is not rounded down to nothing.

    >>> share(1, 3), share(1, 1000), share(0, 5), share(1, 0) == NONE
    ('33 %', '0.1 %', '0 %', True)
    """
    if not whole:
        return NONE
    value = 100 * part / whole
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1g} %" if value < 1 else f"{value:.1f} %"
