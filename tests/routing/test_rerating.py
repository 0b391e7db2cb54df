"""Calls are rated anew by the price of their day; nothing unknown becomes 0."""

import datetime as dt
from decimal import Decimal

from jobs.chat import Usage
from routing.catalog import Catalog, Deployment, Model, Price
from routing.rerating import Booked, Rerating

OLD = Price(Decimal(1), Decimal(2), dt.date(2026, 11, 1), "a test")
NEW = Price(Decimal(3), Decimal(2), dt.date(2026, 11, 20), "a test", cached=Decimal(1))
SERVED = Deployment("m/a", "p", "a", NEW, earlier_prices=(OLD,))
CATALOG = Catalog.of([Model("m/a")], [SERVED])
MILLION = Usage(1_000_000, 0)


def booked(
    day: int, usage: Usage | None = MILLION, cost: str | None = "1", of: str = "m/a@p", month: int = 11
) -> Booked:
    return Booked(of, dt.date(2026, month, day), usage, None if cost is None else Decimal(cost), "v")


def test_each_call_costs_what_was_valid_on_its_day():
    rerating = Rerating(CATALOG)
    for call in (booked(19), booked(20), booked(25, Usage(1_000_000, 0, cached_tokens=500_000))):
        rerating.add(call)
    (line,) = rerating.lines()
    assert (line.calls, line.changed, line.booked_usd, line.rerated_usd) == (3, 2, Decimal(3), Decimal(6))
    assert line.difference_usd == 3


def test_what_cannot_be_rated_is_counted_and_stays_as_booked():
    rerating = Rerating(CATALOG)
    for call in (booked(20, None, None), booked(20, None, "0.5"), booked(1, month=10), booked(20, of="gone@p")):
        rerating.add(call)
    lines = {line.deployment: line for line in rerating.lines()}
    mine, gone = lines["m/a@p"], lines["gone@p"]
    assert (mine.without_usage, mine.without_price, mine.difference_usd) == (2, 1, Decimal(0))
    assert (mine.booked_usd, mine.rerated_usd) == (Decimal("1.5"), Decimal("1.5"))
    assert (gone.without_price, gone.rerated_usd) == (1, Decimal(1))


def test_an_unknown_cost_that_has_a_price_now_is_told_apart():
    rerating = Rerating(CATALOG)
    rerating.add(booked(20, cost=None))
    (line,) = rerating.lines()
    assert (line.newly_priced, line.newly_priced_usd, line.difference_usd) == (1, Decimal(3), Decimal(0))
