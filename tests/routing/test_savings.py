"""The estimate of what routing saved: never more than it was, and silent where nothing can be compared."""

import datetime as dt
from decimal import Decimal
from typing import Any

from jobs.policy import Policy
from routing.catalog import Catalog, Deployment, Model, Price
from routing.plan import Yard
from routing.savings import Bill, savings


def deployment(model: str, provider: str, price: str | None) -> Deployment:
    priced = None if price is None else Price(Decimal(price), Decimal(price) * 2, dt.date(2026, 1, 1), "a test")
    return Deployment(model=model, provider=provider, upstream="x", price=priced)


CATALOG = Catalog.of(
    [Model("m/cheap"), Model("m/dear"), Model("m/free")],
    [
        deployment("m/cheap", "on", "1"),
        deployment("m/dear", "on", "10"),
        deployment("m/dear", "dearer", "30"),
        deployment("m/dear", "off", "5"),
        deployment("m/free", "on", None),
    ],
)
YARD = Yard(CATALOG, frozenset({"on", "dearer"}))
POLICIES = {
    "two": Policy(name="two", tiers=(("m/cheap",), ("m/dear",))),
    "free": Policy(name="free", tiers=(("m/free",),)),
}


def bill(policy: str = "two", **changes: Any) -> Bill:
    plain: dict[str, Any] = {"answers": 2, "input_tokens": 1_000_000, "output_tokens": 500_000, "spent_usd": Decimal(3)}
    return Bill(policy=policy, **plain | changes)


def test_the_answers_at_the_dearest_tier_less_what_was_spent():
    saved = savings([bill()], POLICIES, YARD)
    assert saved.dear_usd == Decimal(20)  # the cheapest that is on: 1 M at 10, half a million at 20
    assert (saved.usd, saved.answers, saved.left_out) == (Decimal(17), 2, 0)


def test_a_model_named_by_the_job_is_a_policy_of_one_tier():
    assert savings([bill("m/cheap", spent_usd=Decimal(2))], POLICIES, YARD).usd == 0
    assert savings([bill("m/cheap", spent_usd=Decimal(5))], POLICIES, YARD).usd == -3


def test_what_cannot_be_compared_is_left_out_with_its_cost():
    for one in (bill("free"), bill("gone"), bill(is_bounded=False)):
        assert savings([one], POLICIES, YARD).usd is None
        both = savings([bill(), one], POLICIES, YARD)
        assert (both.usd, both.answers, both.left_out) == (Decimal(17), 2, 2)


def test_nothing_done_is_nothing_saved():
    assert savings([], POLICIES, YARD).usd == 0
