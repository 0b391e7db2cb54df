"""Works out what calls would cost under the catalogue's prices of today's knowledge, beside what was booked."""

import datetime as dt
from decimal import Decimal

import msgspec

from jobs.chat import Usage
from routing.catalog import Catalog


class Booked(msgspec.Struct, frozen=True):
    """A closed call as the ledger has it."""

    deployment: str
    day: dt.date
    """On which it was opened, UTC."""
    usage: Usage | None
    cost_usd: Decimal | None
    price_version: str | None


class Difference(msgspec.Struct, kw_only=True):
    """The calls of one deployment: what was booked, and what they cost by the prices valid on their days."""

    deployment: str
    calls: int = 0
    booked_usd: Decimal = Decimal(0)
    """Known amounts, of all calls."""
    rerated_usd: Decimal = Decimal(0)
    """Calls with usage and a price by that price, the others as they are booked."""
    difference_usd: Decimal = Decimal(0)
    """Of the calls that have both amounts: rerated less booked."""
    changed: int = 0
    """Calls whose amount would be another."""
    newly_priced: int = 0
    """Calls booked with an unknown cost that have a price now."""
    newly_priced_usd: Decimal = Decimal(0)
    without_usage: int = 0
    """Calls whose tokens nobody knows: failed and cut ones. They can't be rated."""
    without_price: int = 0
    """Calls with usage for whose day there is no price, or none of a kind that they used."""


class Rerating:
    """Adds calls up, one by one, in any order."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_deployment: dict[str, Difference] = {}

    def add(self, call: Booked) -> None:
        """Rate one call anew."""
        line = self._by_deployment.setdefault(call.deployment, Difference(deployment=call.deployment))
        line.calls += 1
        booked, rated = call.cost_usd, self._rate(call, line)
        line.booked_usd += booked or 0
        line.rerated_usd += (booked if rated is None else rated) or 0
        if rated is None:
            return
        if booked is None:
            line.newly_priced += 1
            line.newly_priced_usd += rated
        else:
            line.difference_usd += rated - booked
            line.changed += rated != booked

    def lines(self) -> list[Difference]:
        """A line for each deployment, the largest difference first."""
        return sorted(
            self._by_deployment.values(),
            key=lambda line: (-abs(line.difference_usd + line.newly_priced_usd), line.deployment),
        )

    def _rate(self, call: Booked, line: Difference) -> Decimal | None:
        if call.usage is None:
            line.without_usage += 1
            return None
        served = self._catalog.deployments.get(call.deployment)
        price = None if served is None else served.price_on(call.day)
        amount = None if price is None else price.of(call.usage)
        line.without_price += amount is None
        return amount
