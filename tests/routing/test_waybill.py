"""The receipt: what it names, how large it gets, and how it refuses what nothing can carry."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from jobs.failures import FailureKind
from jobs.policy import Intent, Policy
from jobs.receipt import MAX_BYTES, MAX_EXCLUDED, Receipt
from routing.catalog import ByModel, Catalog, Deployment, Model
from routing.plan import Yard, feasible, plan
from tests.routing.yards import (
    ABILITIES,
    ALONE,
    CHEAP,
    IMAGE,
    JOB,
    LARGE,
    ONE_TIER,
    SMALL_EAST,
    TWO_TIERS,
    UNHURRIED,
    plan_of,
    request,
    yard,
)


def test_the_receipt_names_choice_runner_up_versions_and_estimates():
    planned = plan_of(Policy(name="both", tiers=(("openai/large", SMALL_EAST),)))
    written = planned.receipt
    assert written.chosen is not None
    assert written.runner_up is not None
    assert (written.chosen.deployment, written.runner_up.deployment) == (SMALL_EAST, LARGE)
    assert written.chosen.expected_usd == f"{planned.steps[0].expected_usd:f}"
    assert written.chosen.bound_usd == f"{planned.steps[0].bound_usd:f}"
    assert (written.policy, written.policy_version, written.eligible) == ("both", "p1", 2)
    assert written.catalog_version == yard().catalog.version
    assert written.input_tokens_estimate == planned.steps[0].input_tokens
    assert written.output_tokens_bound == 16
    assert feasible(planned) is None


def test_amounts_in_a_receipt_are_never_in_scientific_notation():
    chosen = plan_of(ALONE).receipt.chosen
    assert chosen is not None
    assert "E" not in str(chosen.expected_usd)


def test_a_step_without_a_rival_in_its_tier_is_bound_by_what_kept_the_nearest_other_out():
    assert plan_of(ONE_TIER, on=yard(off="east")).receipt.binding == "provider_off"
    assert plan_of(ALONE).receipt.binding == "policy"
    assert plan_of(TWO_TIERS, Intent(max_cost_usd=Decimal("0.0001"))).receipt.binding == "order"
    assert plan_of(Policy(tiers=((LARGE, SMALL_EAST),)), Intent(max_cost_usd=Decimal("0.0001"))).receipt.binding == (
        "max_cost_usd"
    )


def test_the_ten_nearest_are_named_and_the_rest_counted():
    models = tuple(Model(f"m/{number}", context_tokens=10 + number) for number in range(15))
    served = tuple(Deployment(model.id, "p", "up", CHEAP) for model in models)
    policy = Policy(name="many", tiers=(tuple(model.id for model in models), ("gone/a", "gone/b")))
    planned = plan_of(policy, on=yard(models, served), asked=request("x" * 400))
    assert len(planned.receipt.excluded) == MAX_EXCLUDED
    assert planned.receipt.excluded[0].deployment == "m/14@p", "the widest window is the nearest"
    assert planned.receipt.excluded_more == {"context_window": 5, "unknown_model": 2}


def test_what_costs_too_much_is_refused_with_the_nearest_and_its_cost():
    planned = plan_of(intent=Intent(max_cost_usd=Decimal("0.00000001")))
    failure = feasible(planned)
    assert failure is not None
    assert failure.kind is FailureKind.INTENT_INFEASIBLE
    bound_usd = plan_of(ALONE).steps[0].bound_usd
    assert "nothing meets max_cost_usd 0.00000001" in failure.message
    assert f"at {bound_usd:f}" in failure.message
    assert planned.steps == ()
    assert planned.receipt.chosen is None
    assert planned.receipt.binding == "max_cost_usd"


def test_what_nothing_can_do_is_refused_with_reasons_and_remedies():
    failure = feasible(plan_of(Policy(name="able", tiers=(("m/plain",),)), on=ABILITIES, asked=request(IMAGE)))
    assert failure is not None
    assert "m/plain@p: it takes no images" in failure.message


def test_a_refusal_names_three_and_counts_the_rest():
    names = tuple(f"gone/{number}" for number in range(5))
    failure = feasible(plan_of(Policy(name="gone", tiers=(names,))))
    assert failure is not None
    assert failure.message.endswith("; and 2 more")


def test_a_policy_without_models_says_so():
    failure = feasible(plan_of(Policy(name="hollow")))
    assert failure is not None
    assert "names no model" in failure.message
    assert plan_of(Policy(name="hollow")).receipt.binding == "policy"


def long_named(count: int, length: int) -> Receipt:
    """The receipt where one deployment is able and `count` are not, all with names of `length` characters."""
    names = [f"m/{number:02}".ljust(length, "x") for number in range(count + 1)]
    models = [Model(name, context_tokens=1 if number else None) for number, name in enumerate(names)]
    on = yard(models, [Deployment(name, "p", "up", CHEAP) for name in names])
    return plan_of(Policy(name="long", tiers=(tuple(names),)), on=on).receipt


def test_names_of_a_sane_length_are_kept_whole():
    written = long_named(count=10, length=200)
    assert {len(one.deployment) for one in written.excluded} == {202}


def test_names_too_long_are_cut_and_all_ten_still_named():
    written = long_named(count=12, length=500)
    assert len(msgspec.json.encode(written)) <= MAX_BYTES
    assert {len(one.deployment) for one in written.excluded} == {100}
    assert (len(written.excluded), written.excluded_more) == (10, {"context_window": 2})


def test_what_is_too_large_even_so_is_counted_instead_of_named():
    wide = "\u9053" * 500
    models = [Model(f"{number}{wide}", context_tokens=1 if number > 1 else None) for number in range(14)]
    served = [Deployment(model.id, "p", "up", CHEAP) for model in models]
    policy = Policy(name=wide, tiers=(tuple(model.id for model in models),))
    written = plan_of(policy, on=yard(models, served)).receipt
    assert len(msgspec.json.encode(written)) <= MAX_BYTES
    assert (written.excluded, written.excluded_more) == ((), {"context_window": 12})
    assert written.chosen is not None
    assert len(written.chosen.deployment) == 100


def test_of_many_places_without_a_key_a_few_are_named_and_the_rest_counted():
    served = [Deployment("qwen/small", f"off{number}", "up", CHEAP) for number in range(50)]
    policy = Policy(name="small", tiers=(("qwen/small",),))
    planned = plan_of(policy, on=Yard(Catalog.of([Model("qwen/small")], served), frozenset()))
    assert (len(planned.receipt.excluded), planned.receipt.excluded_more) == (4, {"provider_off": 46})
    assert planned.complaint is not None
    assert planned.complaint.endswith("; and 47 more")


NAMES = st.builds(lambda text, times: text * times, st.text(st.characters(codec="utf-8")), st.integers(1, 400))


@UNHURRIED
@given(st.lists(NAMES.filter(bool), min_size=1, max_size=14, unique=True), NAMES, NAMES, st.booleans(), st.data())
def test_a_receipt_never_exceeds_its_size(names, policy_name, version, has_window, data):
    models = [Model(name, context_tokens=1 if has_window else None) for name in names]
    served = [Deployment(name, data.draw(NAMES), "up", CHEAP) for name in names]
    catalog = Catalog(
        {model.id: model for model in models},
        {one.id: one for one in served},
        ByModel({one.model: (one,) for one in served}),
        version,
    )
    on = Yard(catalog, frozenset(one.provider for one in served), version)
    policy = Policy(name=policy_name, tiers=(tuple(names), (policy_name, version)), choose="best")
    planned = plan(JOB, request(), policy, Intent(max_latency_ms=5), on)
    written = planned.receipt
    assert len(msgspec.json.encode(written)) <= MAX_BYTES
    named = written.eligible + len(written.excluded) + sum(written.excluded_more.values())
    assert named >= len({one.id for one in served})
