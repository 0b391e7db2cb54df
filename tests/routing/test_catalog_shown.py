"""What the catalogue shows: every fact with its source and day, unknown as null, and what is on when that is asked."""

import datetime as dt
from decimal import Decimal

from routing.catalog import Catalog, Deployment, Evidence, Model, Price
from routing.catalog_shown import FACTS, shown, shown_on
from routing.prices import LongRates

DAY = dt.date(2026, 11, 20)
OLD = Price(Decimal(1), Decimal(2), dt.date(2026, 11, 1), "a list")
LONG = LongRates(above_input_tokens=200_000, input=Decimal(6), output=Decimal(9))
NEW = Price(Decimal(3), Decimal(4), DAY, "a page", cached=Decimal("0.30"), batch_input=Decimal("1.5"), long=(LONG,))
MODEL = Model(
    "m/a",
    has_tools=True,
    has_vision=False,
    schema_keywords=frozenset({"type", "enum"}),
    source="a list",
    as_of=DAY,
    evidence={"has_vision": Evidence("a test", dt.date(2026, 10, 1))},
)
CATALOG = Catalog.of(
    [MODEL, Model("m/b")],
    [
        Deployment("m/a", "on", "a", NEW, earlier_prices=(OLD,), has_batch=True, source="a page", as_of=DAY),
        Deployment("m/a", "off", "a"),
        Deployment("m/b", "off", "b"),
    ],
)


def test_each_cell_has_its_source_and_day_or_is_null():
    (model, _) = shown(CATALOG, {"on"})
    assert (model["has_tools"], model["schema_keywords"], model["creativity"]) == (True, ["enum", "type"], None)
    assert model["evidence"] == {
        "has_tools": {"source": "a list", "as_of": "2026-11-20"},
        "has_vision": {"source": "a test", "as_of": "2026-10-01"},
        "schema_keywords": {"source": "a list", "as_of": "2026-11-20"},
    }
    assert set(FACTS) <= set(model)
    served = model["deployments"][0]
    assert (served["has_batch"], served["evidence"]["has_batch"]["source"]) == (True, "a page")


def test_prices_are_shown_by_kind_with_their_history():
    (model, _) = shown(CATALOG, {"on"}, DAY)
    price, none = (served["price"] for served in model["deployments"])
    assert none is None
    assert {name: price[name] for name in price if name.endswith("mtok")} == {
        "input_usd_per_mtok": "3",
        "output_usd_per_mtok": "4",
        "cached_usd_per_mtok": "0.30",
        "batch_input_usd_per_mtok": "1.5",
    }
    assert price["long"] == [{"above_input_tokens": 200_000, "input_usd_per_mtok": "6", "output_usd_per_mtok": "9"}]
    assert (price["valid_from"], price["source"], price["version"]) == ("2026-11-20", "a page", NEW.version)
    assert [each["valid_from"] for each in model["deployments"][0]["earlier_prices"]] == ["2026-11-01"]


def test_the_price_is_that_of_the_day():
    (model, _) = shown(CATALOG, {"on"}, dt.date(2026, 11, 19))
    assert model["deployments"][0]["price"]["valid_from"] == "2026-11-01"


def test_what_is_on_is_shown_alone_when_that_is_asked():
    (model,) = shown_on(CATALOG, {"on"})
    assert [served["id"] for served in model["deployments"]] == ["m/a@on"]
    assert shown_on(CATALOG, set()) == []
